/** A training run and its place in the library: what is written down, and when, so that a reload finds it again. */
import { formatRunConfig, type RunConfig } from '../src/core/config';
import { GraftError, errorCode } from '../src/core/errors';
import type { LogRow, PlainError, RunSummary, TrainEvent } from '../src/core/events';
import type { RunRecord, RunState } from '../src/core/library';
import { decodeUtf8, encodeUtf8, type FileSource } from '../src/core/store';
import type { HubModel } from '../src/formats/model';
import {
  CHECKPOINT_SLOTS,
  finetune,
  parseRunFile,
  type DatasetFile,
  type Engine,
  type FinetuneInput,
  type ModelCache,
} from '../src/recipes';
import { logRowsOf, type RunLibrary } from '../src/storage/indexeddb';
import type { RunEvent, RunRequest } from '../src/protocol';
import { Diary } from './diary';
import { storedModel } from './sources';

/** The dataset as it was when the run began, in the run's folder. */
const DATASET_FILE = 'dataset';
const RUN_FILE = 'run.yaml';
const STATE_FILE = 'trainer_state.json';
/** What is in a run's folder beside what the user downloads. */
export const INTERNAL_FILES: ReadonlySet<string> = new Set([DATASET_FILE, ...CHECKPOINT_SLOTS]);

const BUSY = 'This run is training in another tab: one writer at a time.';

export interface TrainInput {
  readonly openEngine: () => Promise<Engine>;
  readonly model: HubModel;
  readonly modelFiles: FileSource;
  readonly cache: ModelCache | undefined;
  readonly readData?: FinetuneInput['readData'];
}

export class Training {
  private profileAsked = false;

  constructor(private readonly library: RunLibrary) {}

  /** For the run under way; one that starts later knows nothing of it. */
  profileNextStep(): void {
    this.profileAsked = true;
  }

  async start(
    request: RunRequest,
    dataset: DatasetFile,
    open: () => Promise<TrainInput>,
    onEvent: (event: RunEvent) => void,
    signal: AbortSignal,
  ): Promise<RunSummary> {
    const record = newRecord(request, dataset);
    return this.library.withWriter(record.id, BUSY, async () => {
      await this.library.put(record);
      const folder = this.library.folder(record.id, record.name);
      await folder.write(DATASET_FILE, dataset.bytes);
      await folder.write(RUN_FILE, encodeUtf8(formatRunConfig(request.config)));
      return this.train(record, request.config, dataset, false, open, onEvent, signal);
    });
  }

  async resume(
    id: string,
    open: () => Promise<TrainInput>,
    onEvent: (event: RunEvent) => void,
    signal: AbortSignal,
  ): Promise<RunSummary> {
    return this.library.withWriter(id, BUSY, async () => {
      const record = await this.library.update(id, { state: 'running', error: null });
      const config = await this.config(record);
      const dataset = await this.dataset(record);
      return this.train(record, config, dataset, true, open, onEvent, signal);
    });
  }

  async dataset(record: RunRecord): Promise<DatasetFile> {
    const bytes = await this.library.folder(record.id, record.name).read(DATASET_FILE);
    if (!bytes) throw incomplete(record, 'dataset');
    return { name: record.datasetName, bytes };
  }

  /** The curve: from the finished run's own record, else from what was noted on the way. */
  async log(record: RunRecord): Promise<LogRow[]> {
    const bytes = await this.library.folder(record.id, record.name).read(STATE_FILE);
    const rows = record.state === 'finished' ? finishedLog(bytes) : undefined;
    return rows ?? this.library.log(record.id);
  }

  async config(record: RunRecord): Promise<RunConfig> {
    const bytes = await this.library.folder(record.id, record.name).read(RUN_FILE);
    if (!bytes) throw incomplete(record, 'run file');
    return parseRunFile(bytes, RUN_FILE);
  }

  private async train(
    record: RunRecord,
    run: RunConfig,
    dataset: DatasetFile,
    resume: boolean,
    open: () => Promise<TrainInput>,
    onEvent: (event: RunEvent) => void,
    signal: AbortSignal,
  ): Promise<RunSummary> {
    const diary = new Diary(this.library, record, resume ? await this.library.log(record.id) : []);
    onEvent({ kind: 'run', record });
    const report = (event: TrainEvent) => {
      diary.note(event);
      onEvent(event);
    };
    const store = this.library.folder(record.id, record.name);
    const wantsProfile = () => {
      const asked = this.profileAsked;
      this.profileAsked = false;
      return asked;
    };
    this.profileAsked = false;
    try {
      const summary = await finetune({ run, dataset, store, resume, wantsProfile, ...(await open()) }, report, signal);
      await diary.close({
        state: summary.stopped === 'cancelled' ? 'cancelled' : 'finished',
        summary,
        step: summary.steps,
      });
      return summary;
    } catch (error) {
      // The record is the lesser matter here: where it can't be written either, the first failure is the one to tell.
      await diary.close({ state: stateAfter(error), error: plainError(error) }).catch(() => undefined);
      throw error;
    }
  }
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

function newRecord(request: RunRequest, dataset: DatasetFile): RunRecord {
  const { max_train_samples: most } = request.config;
  const rows = most === undefined ? '' : `, first ${most}`;
  return {
    id: crypto.randomUUID(),
    name: `${request.model.name} on ${request.dataset.name}${rows}`,
    createdAt: Date.now(),
    state: 'running',
    model: storedModel(request.model),
    datasetName: dataset.name,
    step: 0,
    totalSteps: 0,
    checkpointStep: 0,
    summary: null,
    error: null,
  };
}

/** A run whose device was lost is whole up to its last checkpoint, like one whose tab was closed. */
function stateAfter(error: unknown): RunState {
  const code = errorCode(error);
  return code === 'cancelled' ? 'cancelled' : code === 'device-lost' ? 'interrupted' : 'failed';
}

function plainError(error: unknown): PlainError {
  const message = error instanceof Error ? error.message : String(error);
  return { code: errorCode(error) ?? 'internal', message };
}

function incomplete(record: RunRecord, what: string): GraftError {
  return new GraftError(
    'not-found',
    `${record.name} has lost its ${what} in this browser: delete the run and train anew.`,
  );
}
