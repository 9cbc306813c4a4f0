/** The files of a run's folder beside those that the user downloads. */
import type { RunConfig } from '../../src/core/config';
import { GraftError } from '../../src/core/errors';
import type { LogRow } from '../../src/core/events';
import type { RunRecord } from '../../src/core/library';
import { decodeUtf8 } from '../../src/core/store';
import { CHECKPOINT_SLOTS, parseRunFile, type DatasetFile } from '../../src/recipes';
import { isDamagedRun, logRowsOf, type RunLibrary } from '../../src/storage/indexeddb';

/** The dataset as it was when the run began. */
export const DATASET_FILE = 'dataset';
export const RUN_FILE = 'run.yaml';
const STATE_FILE = 'trainer_state.json';
/** What is in a run's folder beside what the user downloads. */
export const INTERNAL_FILES: ReadonlySet<string> = new Set([DATASET_FILE, ...CHECKPOINT_SLOTS]);

export async function readRunDataset(library: RunLibrary, record: RunRecord): Promise<DatasetFile> {
  const bytes = await library.folder(record.id, record.name).read(DATASET_FILE);
  if (!bytes) throw await incomplete(library, record, 'dataset');
  return { name: record.datasetName, bytes };
}

export async function readRunConfig(library: RunLibrary, record: RunRecord): Promise<RunConfig> {
  const bytes = await library.folder(record.id, record.name).read(RUN_FILE);
  if (!bytes) throw await incomplete(library, record, 'run file');
  return parseRunFile(bytes, RUN_FILE);
}

/** The curve: from the finished run's own record, else from what was noted on the way. */
export async function readRunLog(library: RunLibrary, record: RunRecord): Promise<readonly LogRow[]> {
  const bytes = await library.folder(record.id, record.name).read(STATE_FILE);
  const rows = record.state === 'finished' ? finishedLog(bytes) : undefined;
  return rows ?? library.log(record.id);
}

/** The rows of a trainer_state.json; undefined where it is damaged. */
function finishedLog(bytes: Uint8Array | undefined): LogRow[] | undefined {
  try {
    const { log_history: rows } = JSON.parse(bytes ? decodeUtf8(bytes) : '{}') as Partial<Record<string, unknown>>;
    return Array.isArray(rows) ? logRowsOf(rows) : undefined;
  } catch {
    return undefined;
  }
}

/** @throws `not-found` where the run was deleted since its record was read: it has lost nothing, then */
async function incomplete(library: RunLibrary, record: RunRecord, what: string): Promise<GraftError> {
  if (isDamagedRun(record)) {
    return new GraftError(
      'storage',
      `${record.name} can't be opened: what this browser kept of it is damaged. Delete it.`,
    );
  }
  await library.get(record.id);
  return new GraftError(
    'not-found',
    `${record.name} has lost its ${what} in this browser: delete the run and train anew.`,
  );
}
