/** A training run and its place in the library: what is written down, and when, so that a reload finds it again. */
import { formatRunConfig, parseRunConfig, type RunConfig } from '../src/core/config';
import { GraftError, errorCode } from '../src/core/errors';
import type { LogRow, PlainError, RunSummary, TrainEvent } from '../src/core/events';
import type { RunRecord, RunState } from '../src/core/library';
import { decodeUtf8, encodeUtf8, type FileSource } from '../src/core/store';
import type { HubModel } from '../src/formats/model';
import { CHECKPOINT_SLOTS, finetune, type DatasetFile, type Engine } from '../src/recipes';
import type { RunLibrary } from '../src/storage/indexeddb';
import type { RunEvent, RunRequest } from '../src/protocol';
import { storedModel } from './sources';

/** The dataset as it was when the run began, in the run's folder. */
const DATASET_FILE = 'dataset';
const RUN_FILE = 'run.yaml';
/** What is in a run's folder beside what the user downloads. */
export const INTERNAL_FILES: ReadonlySet<string> = new Set([DATASET_FILE, ...CHECKPOINT_SLOTS]);

/** How often the record and the log are written between checkpoints, in milliseconds. */
const SAVE_INTERVAL = 1000;

const BUSY = 'This run is training in another tab: one writer at a time.';

export interface TrainInput {
  readonly engine: Engine;
  readonly model: HubModel;
  readonly modelFiles: FileSource;
}

export class Training {
  constructor(private readonly library: RunLibrary) {}

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

  async config(record: RunRecord): Promise<RunConfig> {
    const bytes = await this.library.folder(record.id, record.name).read(RUN_FILE);
    if (!bytes) throw incomplete(record, 'run file');
    return parseRunConfig(decodeUtf8(bytes), {}, RUN_FILE);
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
    try {
      const summary = await finetune({ run, dataset, store, resume, ...(await open()) }, report, signal);
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

type Change = Partial<Omit<RunRecord, 'id'>>;

/** Follows the events of a run and writes them down, now and then and in order. */
class Diary {
  private readonly rows: LogRow[];
  private change: Change = {};
  private saved = performance.now();
  private writing: Promise<void> = Promise.resolve();

  constructor(
    private readonly library: RunLibrary,
    private readonly record: RunRecord,
    rows: readonly LogRow[],
  ) {
    this.rows = [...rows];
  }

  note(event: TrainEvent): void {
    if (event.kind === 'plan') this.set({ totalSteps: event.totalSteps });
    else if (event.kind === 'resumed') this.rewind(event.step);
    else if (event.kind === 'step') this.add(event.row);
    else if (event.kind === 'eval') this.add(event.row);
    else if (event.kind === 'checkpoint') this.set({ checkpointStep: event.step });
    else return;
    // A write that fails here fails again, and is told, when the diary is closed or a checkpoint is written.
    const due = event.kind === 'checkpoint' || performance.now() - this.saved > SAVE_INTERVAL;
    if (due) this.save().catch(() => undefined);
  }

  async close(change: Change): Promise<void> {
    this.set(change);
    await this.save();
  }

  private add(row: LogRow): void {
    this.rows.push(row);
    this.set({ step: row.step });
  }

  /** Steps after the checkpoint are done again, and logged again. */
  private rewind(step: number): void {
    const kept = this.rows.filter((row) => row.step <= step);
    this.rows.splice(0, this.rows.length, ...kept);
    this.set({ step, checkpointStep: step });
  }

  private set(change: Change): void {
    this.change = { ...this.change, ...change };
  }

  private save(): Promise<void> {
    this.saved = performance.now();
    const { change } = this;
    const rows = [...this.rows];
    this.change = {};
    this.writing = this.writing
      .catch(() => undefined)
      .then(async () => {
        await this.library.putLog(this.record.id, rows);
        await this.library.update(this.record.id, change);
      });
    return this.writing;
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
