/** Writes down what a run says while it trains, so that a page that comes back later can show it. */
import type { LogRow, TrainEvent } from '../../src/core/events';
import type { RunRecord } from '../../src/core/library';
import type { RunLibrary } from '../../src/storage/indexeddb';

/** How often the record and the log are written between checkpoints, in milliseconds. */
const SAVE_INTERVAL = 2000;

type Change = Partial<Omit<RunRecord, 'id'>>;

/** The part of the library that a diary writes to. */
type LogStore = Pick<RunLibrary, 'addToLog'>;

/** Follows the events of a run and writes them down, now and then and in order: of the log, what came since. */
export class Diary {
  private readonly rows: LogRow[];
  /** How many of the rows are written. A run that goes on writes its rows once anew: what lay damaged between them is gone. */
  private written = 0;
  /** How many rows were left by the last time that the run went back, since the write under way began. */
  private leftAfterRewind = Infinity;
  /** What is to change in the record and isn't written yet. */
  private change: Change = {};
  private saved = performance.now();
  private writing: Promise<void> = Promise.resolve();

  constructor(
    private readonly library: LogStore,
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
    // What a failed write held is in the next one; where that fails too, it is told when the diary is closed.
    const due = event.kind === 'checkpoint' || event.kind === 'plan' || performance.now() - this.saved > SAVE_INTERVAL;
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
    const later = this.rows.findIndex((row) => row.step > step);
    if (later >= 0) this.rows.length = later;
    this.leftAfterRewind = Math.min(this.leftAfterRewind, this.rows.length);
    this.set({ step, checkpointStep: step });
  }

  private set(change: Change): void {
    this.change = { ...this.change, ...change };
  }

  private save(): Promise<void> {
    this.saved = performance.now();
    this.writing = this.writing.catch(() => undefined).then(() => this.write());
    return this.writing;
  }

  /** Everything that isn't written yet. What a write that fails held is written by the next one. */
  private async write(): Promise<void> {
    const { change } = this;
    const from = Math.min(this.written, this.leftAfterRewind);
    const rows = this.rows.slice(from);
    this.change = {};
    this.leftAfterRewind = Infinity;
    try {
      await this.library.addToLog(this.record.id, from, rows, change);
      this.written = from + rows.length;
    } catch (error) {
      this.change = { ...change, ...this.change };
      this.written = from;
      throw error;
    }
  }
}
