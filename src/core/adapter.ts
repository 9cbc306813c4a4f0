/** What an adapter is: LoRA on the model's linears, or prompt tuning, which leaves the model as it is. */
import { adapterParameters, type DecoderSpec, type LoraSpec, type ParameterSpec } from './spec';

/**
 * Prompt tuning: virtual tokens stand before every sequence, and their embeddings alone are trained (Lester et al. 2021,
 * arXiv:2104.08691; PEFT's PromptTuningConfig, the fields Graft knows).
 */
export interface PromptSpec {
  readonly numVirtualTokens: number;
  /** Tokens whose embeddings they begin as, one for each; absent, they are drawn at random. */
  readonly initTokens?: readonly number[] | undefined;
  /** The text that these are of, as files name it. */
  readonly initText?: string | undefined;
}

/** The adapter of a model: one of these, or none. */
export interface AdapterSpec {
  readonly lora?: LoraSpec | undefined;
  readonly prompt?: PromptSpec | undefined;
}

/** PEFT's name for the embeddings of all virtual tokens, f32 [numVirtualTokens, hiddenSize]. */
export const PROMPT_EMBEDDINGS = 'prompt_embeddings';

export function hasAdapter({ lora, prompt }: AdapterSpec): boolean {
  return lora !== undefined || prompt !== undefined;
}

/** The same model as it is without its adapter. */
export function withoutAdapter<T extends AdapterSpec>(model: T): T {
  return { ...model, lora: undefined, prompt: undefined };
}

/** Tokens that stand before every sequence of a model with this adapter. */
export function virtualTokens({ prompt }: Pick<AdapterSpec, 'prompt'>): number {
  return prompt?.numVirtualTokens ?? 0;
}

export function promptParameter({ hiddenSize }: DecoderSpec, { numVirtualTokens }: PromptSpec): ParameterSpec {
  return { name: PROMPT_EMBEDDINGS, shape: [numVirtualTokens, hiddenSize] };
}

/** The adapter's tensors under PEFT's names, in the order of the forward pass; none where there is no adapter. */
export function parametersOfAdapter(spec: DecoderSpec, { lora, prompt }: AdapterSpec): ParameterSpec[] {
  if (prompt) return [promptParameter(spec, prompt)];
  return lora ? adapterParameters(spec, lora) : [];
}
