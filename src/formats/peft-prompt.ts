/** Prompt tuning in an adapter's files. Field semantics: `peft/tuners/prompt_tuning/config.py` (PromptTuningConfig). */
import { PROMPT_EMBEDDINGS, promptParameter, type PromptSpec } from '../core/adapter';
import { GraftError } from '../core/errors';
import { quote } from '../core/format';
import type { DecoderSpec } from '../core/spec';
import type { WeightTensor } from '../core/weights';
import type { JsonObject } from './json';

/** Several times the most that anyone trains. */
export const MAX_VIRTUAL_TOKENS = 4096;

export const PROMPT_TUNING = 'PROMPT_TUNING';

/** Fields that say nothing about what the adapter answers: where it came from, and what PEFT fills in from the model. */
const HARMLESS = new Set([
  'auto_mapping',
  'base_model_name_or_path',
  'inference_mode',
  'num_attention_heads',
  'num_layers',
  'peft_version',
  'prompt_tuning_init',
  'revision',
  'token_dim',
  'tokenizer_kwargs',
  'tokenizer_name_or_path',
]);
const READ = new Set([
  'peft_type',
  'task_type',
  'num_virtual_tokens',
  'num_transformer_submodules',
  'prompt_tuning_init_text',
]);

/**
 * The prompt that a config and its tensors are of, with these. How many tokens it has is what the tensor says, and the config must agree.
 * @throws `bad-config`, `bad-file`, `unsupported` for a setting that Graft would have to ignore
 */
export function readPrompt(
  config: JsonObject,
  name: string,
  tensors: WeightTensor[],
): { readonly prompt: PromptSpec; readonly tensors: WeightTensor[] } {
  refuseUnsupported(config);
  const embeddings = tensors.find((tensor) => tensor.name === PROMPT_EMBEDDINGS);
  if (!embeddings) {
    throw new GraftError('bad-file', `The adapter ${name} lacks the tensor ${PROMPT_EMBEDDINGS}: it is incomplete.`);
  }
  const numVirtualTokens = config.size('num_virtual_tokens', MAX_VIRTUAL_TOKENS);
  const [rows] = embeddings.shape;
  if (embeddings.shape.length !== 2 || rows !== (numVirtualTokens ?? rows) || !rows) {
    throw new GraftError(
      'bad-file',
      `${PROMPT_EMBEDDINGS} of the adapter ${name} has shape [${embeddings.shape.join(', ')}], and its config ` +
        `${numVirtualTokens ?? 'no'} num_virtual_tokens: they don't belong together.`,
    );
  }
  const initText = config.string('prompt_tuning_init_text');
  const isOfText = config.get('prompt_tuning_init') === 'TEXT' && initText !== undefined && initText !== '';
  return { prompt: { numVirtualTokens: rows, ...(isOfText && { initText }) }, tensors };
}

function refuseUnsupported(config: JsonObject): void {
  const refuse = (key: string, supported: string) =>
    new GraftError(
      'unsupported',
      `${config.where}: ${key} is ${quote(config.get(key))}; Graft applies ${supported} only.`,
    );
  if ((config.get('task_type') ?? 'CAUSAL_LM') !== 'CAUSAL_LM') throw refuse('task_type', 'CAUSAL_LM');
  if ((config.get('num_transformer_submodules') ?? 1) !== 1) throw refuse('num_transformer_submodules', '1');
  for (const key of config.keys()) {
    const value = config.get(key);
    const isEmpty =
      value === undefined || value === false || value === '' || (Array.isArray(value) && value.length === 0);
    if (HARMLESS.has(key) || READ.has(key) || isEmpty) continue;
    throw new GraftError(
      'unsupported',
      `${config.where}: ${key} is ${quote(value)}, which Graft doesn't apply; the adapter would answer differently.`,
    );
  }
}

/** @throws `bad-file` or `unsupported` where the prompt doesn't fit the model */
export function checkPrompt(
  name: string,
  prompt: PromptSpec,
  tensors: readonly WeightTensor[],
  spec: DecoderSpec,
): void {
  refuseScaledEmbeddings(spec);
  const { shape } = promptParameter(spec, prompt);
  for (const tensor of tensors) {
    if (tensor.name !== PROMPT_EMBEDDINGS) {
      throw new GraftError(
        'bad-file',
        `The adapter ${name} holds the tensor ${tensor.name}, which has no place in a prompt.`,
      );
    }
    if (tensor.shape.join() !== shape.join()) {
      throw new GraftError(
        'bad-file',
        `${PROMPT_EMBEDDINGS} of the adapter ${name} has shape [${tensor.shape.join(', ')}], but the model calls for ` +
          `[${shape.join(', ')}]: it was trained on another model.`,
      );
    }
  }
  refuseLongPrompt(`The adapter ${name} has`, prompt.numVirtualTokens, spec);
}

/** Versions of Transformers differ in whether they scale embeddings that are given to them. */
export function refuseScaledEmbeddings({ family, embeddingScale = 1 }: DecoderSpec): void {
  if (embeddingScale === 1) return;
  throw new GraftError(
    'unsupported',
    `Prompt tuning is not there for ${family}, which scales its embeddings: train a LoRA adapter of it, peft_type: LORA.`,
  );
}

/** Throws `bad-config` where virtual tokens leave no room for a prompt and its answer. */
export function refuseLongPrompt(
  begins: string,
  numVirtualTokens: number,
  { maxPositions }: Pick<DecoderSpec, 'maxPositions'>,
): void {
  if (numVirtualTokens + 2 <= maxPositions) return;
  throw new GraftError(
    'bad-config',
    `${begins} ${numVirtualTokens} virtual tokens, and the model reads ${maxPositions} tokens in all, theirs included: ` +
      'that leaves no room for a prompt.',
  );
}

/** The fields of `adapter_config.json`. What PEFT takes from the model, where it is null, is left to it. */
export function promptConfig(
  { numVirtualTokens, initText }: PromptSpec,
  tensors: readonly WeightTensor[],
  { baseModel, revision }: { readonly baseModel: string; readonly revision?: string | undefined },
): object {
  return {
    auto_mapping: null,
    base_model_name_or_path: baseModel,
    inference_mode: true,
    modules_to_save: null,
    num_attention_heads: null,
    num_layers: null,
    num_transformer_submodules: 1,
    num_virtual_tokens: numVirtualTokens,
    peft_type: PROMPT_TUNING,
    prompt_tuning_init: initText === undefined ? 'RANDOM' : 'TEXT',
    prompt_tuning_init_text: initText ?? null,
    revision: revision ?? null,
    task_type: 'CAUSAL_LM',
    token_dim: tensors.find(({ name }) => name === PROMPT_EMBEDDINGS)?.shape[1] ?? null,
    tokenizer_kwargs: null,
    tokenizer_name_or_path: initText === undefined ? null : baseModel,
  };
}
