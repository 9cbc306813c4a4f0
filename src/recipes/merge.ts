/** Merging an adapter into its base model: a model folder that loads anywhere, without PEFT. */
import { throwIfCancelled } from '../core/errors';
import { encodeUtf8, writePieces, type FileSource, type RunStore } from '../core/store';
import type { Engine } from '../engine';
import type { HubModel } from '../formats/model';
import type { LoadingReport } from './steps/loading';
import { openMerged } from './steps/merged-weights';
import { modelFolderFiles, NOT_ASKED } from './steps/model-folder';
import { indexOf, piecesOf, planWeightFiles } from './steps/weight-files';

export interface MergeInput {
  readonly model: HubModel;
  readonly modelFiles: FileSource;
  readonly adapter: FileSource;
  readonly engine: Engine;
  readonly store: RunStore;
  /** Most bytes of a weight file that holds more than one tensor; smaller in tests. */
  readonly shardBytes?: number;
}

/**
 * Writes the base model's folder with the adapter merged into its weights, in the dtypes that they were stored in.
 * @returns the names of the files written
 * @throws `bad-file` where the adapter doesn't fit the model, `out-of-memory`, `storage`, `cancelled`
 */
export async function mergeModel(input: MergeInput, report: LoadingReport, signal?: AbortSignal): Promise<string[]> {
  const { modelFiles, store } = input;
  const merged = await openMerged(input);
  const files = planWeightFiles(merged, input.shardBytes);
  const written: string[] = [];
  const write = async (name: string, bytes: Uint8Array) => {
    await store.write(name, bytes);
    written.push(name);
  };
  const weights = merged.weights(report, signal);
  try {
    for (const file of files) {
      throwIfCancelled(signal);
      await writePieces(store, file.name, file.size, piecesOf(file, weights));
      written.push(file.name);
    }
  } finally {
    await weights.return(undefined);
  }
  if (files.length > 1) await write('model.safetensors.index.json', encodeUtf8(indexOf(files)));
  // Whether the fallback was trained is not known of an adapter that brings no template.
  const asked = merged.asked.template?.source === 'alpaca' ? NOT_ASKED : merged.asked;
  const tied = merged.spec.tieWordEmbeddings;
  for (const { name, bytes } of await modelFolderFiles(modelFiles, { asked, tied })) await write(name, bytes);
  return written;
}
