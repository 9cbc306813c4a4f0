/** Merging an adapter into its base model: a model folder that loads anywhere, without PEFT. */
import type { FileSource, RunStore } from '../core/store';
import type { Engine } from '../engine';
import type { HubModel } from '../formats/model';
import type { LoadingReport } from './steps/loading';
import { openMerged } from './steps/merged-weights';
import { planWeightFiles } from './steps/weight-files';
import { writeModelFolder } from './steps/write-model-folder';

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
  const { asked, spec } = merged;
  const files = planWeightFiles(merged, input.shardBytes);
  const weights = merged.weights(report, signal);
  return writeModelFolder({ store, modelFiles, files, weights, asked, tied: spec.tieWordEmbeddings }, signal);
}
