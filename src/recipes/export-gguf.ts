/** A model, with an adapter merged into it where one is given, as one GGUF file for llama.cpp, Ollama and their like. */
import { writePieces, type FileSource, type RunStore } from '../core/store';
import { ggufPieces, loraPieces, planGguf, planLora, type FileType, type LoraType } from '../formats/gguf';
import type { HubModel } from '../formats/model';
import { checkAdapter, readAdapter } from '../formats/peft';
import type { LoadingReport } from './steps/loading';
import { openMerged, type MergeSources } from './steps/merged-weights';

export interface GgufInput extends MergeSources {
  /** The model's folder in the Hub's layout. */
  readonly modelFiles: FileSource;
  readonly store: RunStore;
  /** Its name in the store. */
  readonly file: string;
  readonly type: FileType;
  /** Whether programs put BOS before every prompt; by default as the tokenizer does before texts. */
  readonly addsBos?: boolean | undefined;
}

/**
 * Writes the file, tensor by tensor as they come.
 * @returns its size in bytes, and what is otherwise in llama.cpp than here, a sentence each
 * @throws `unsupported` for what llama.cpp has no way to say, `bad-file` where the adapter doesn't fit the model
 */
export async function exportGguf(
  input: GgufInput,
  report: LoadingReport,
  signal?: AbortSignal,
): Promise<{ size: number; notices: readonly string[] }> {
  const { model, modelFiles, store, file, type, addsBos } = input;
  const merged = await openMerged(input);
  const { asked, spec, dtypes } = merged;
  const order = [...dtypes.keys()];
  const plan = await planGguf({ name: model.name, spec, order, type, source: modelFiles, asked, addsBos });
  const weights = merged.weights(report, signal);
  try {
    await writePieces(store, file, plan.size, ggufPieces(plan, weights));
  } finally {
    await weights.return(undefined);
  }
  return { size: plan.size, notices: plan.notices };
}

export interface LoraInput {
  readonly model: HubModel;
  readonly adapter: FileSource;
  readonly store: RunStore;
  readonly file: string;
  readonly type: LoraType;
}

/**
 * Writes an adapter alone, for llama.cpp to apply to the base model's GGUF file.
 * @returns its size in bytes
 * @throws `unsupported` for what only a merged file holds, `bad-file` where the adapter doesn't fit the model
 */
export async function exportLora({ model, adapter: folder, store, file, type }: LoraInput): Promise<number> {
  const adapter = await readAdapter(folder);
  checkAdapter(folder.name, adapter, model.spec);
  const plan = planLora({ name: folder.name, adapter, spec: model.spec, modelName: model.name, type });
  await writePieces(store, file, plan.size, loraPieces(plan));
  return plan.size;
}
