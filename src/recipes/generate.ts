/** A model that answers: loaded, with its adapter, and a cache for prompts and answers. */
import type { Engine } from '../engine';
import type { HubModel } from '../formats/model';
import { checkAdapter, type Adapter } from '../formats/peft';
import { loadSession, weightStorageKey, type ModelCache } from './steps/cached-weights';
import type { LoadingReport } from './steps/loading';
import { chooseWeightDType, quantizationOf, type WeightStorage } from './steps/options';
import { readableTokens } from './steps/prompt-tuning';
import { TextGenerator } from './steps/text-generator';

export interface GeneratorOptions {
  readonly model: HubModel;
  readonly engine: Engine;
  readonly cache?: ModelCache | undefined;
  readonly adapter?: { readonly name: string; readonly content: Adapter } | undefined;
  /** How base weights are kept; by default as they are stored. An adapter is at home on what it was trained on. */
  readonly storage?: WeightStorage;
  /** Prompts answered at once; 1 by default. */
  readonly batchSize?: number;
  /** Tokens of prompt and answer together; by default what the model can read, at most 2048. */
  readonly contextLength?: number;
}

const DEFAULT_CONTEXT = 2048;

/** Loads a model, and the adapter to go with it, for any number of answers. */
export async function openGenerator(
  options: GeneratorOptions,
  report: LoadingReport = () => undefined,
  signal?: AbortSignal,
): Promise<TextGenerator> {
  const { model, engine, adapter, storage = {}, batchSize = 1 } = options;
  if (adapter) checkAdapter(adapter.name, adapter.content, model.spec);
  const maxLength = Math.min(options.contextLength ?? DEFAULT_CONTEXT, readableTokens(model.spec, adapter?.content));
  const shape = {
    spec: model.spec,
    weightDType: chooseWeightDType(storage.dtype ?? 'auto', model.weightDType),
    quantization: quantizationOf(storage),
    lora: adapter?.content.lora,
    prompt: adapter?.content.prompt,
  };
  const { session } = await loadSession(
    { model, storage: weightStorageKey(shape), cache: options.cache },
    (weights, keep) => engine.createSession(shape, { decode: { batchSize, maxLength } }, weights, keep),
    report,
    signal,
  );
  try {
    if (adapter) await session.importParameters(adapter.content.tensors);
  } catch (error) {
    session.dispose();
    throw error;
  }
  const { decode } = session.views;
  return new TextGenerator(model, decode, { batchSize, maxLength }, () => session.dispose());
}
