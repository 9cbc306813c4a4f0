/** The files of a run's folder beside those that the user downloads. */
import { parseRunConfig, type RunConfig } from '../src/core/config';
import { GraftError } from '../src/core/errors';
import type { RunRecord } from '../src/core/library';
import { decodeUtf8 } from '../src/core/store';
import { CHECKPOINT_SLOTS, type DatasetFile } from '../src/recipes';
import type { RunLibrary } from '../src/storage/indexeddb';

/** The dataset as it was when the run began. */
export const DATASET_FILE = 'dataset';
export const RUN_FILE = 'run.yaml';
/** What is in a run's folder beside what the user downloads. */
export const INTERNAL_FILES: ReadonlySet<string> = new Set([DATASET_FILE, ...CHECKPOINT_SLOTS]);

export async function readRunDataset(library: RunLibrary, record: RunRecord): Promise<DatasetFile> {
  const bytes = await library.folder(record.id, record.name).read(DATASET_FILE);
  if (!bytes) throw incomplete(record, 'dataset');
  return { name: record.datasetName, bytes };
}

export async function readRunConfig(library: RunLibrary, record: RunRecord): Promise<RunConfig> {
  const bytes = await library.folder(record.id, record.name).read(RUN_FILE);
  if (!bytes) throw incomplete(record, 'run file');
  return parseRunConfig(decodeUtf8(bytes), {}, RUN_FILE);
}

function incomplete(record: RunRecord, what: string): GraftError {
  return new GraftError(
    'not-found',
    `${record.name} has lost its ${what} in this browser: delete the run and train anew.`,
  );
}
