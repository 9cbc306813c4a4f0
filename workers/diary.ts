/** Writes down what a run says while it trains, so that a page that comes back later can show it. */
import type { LogRow, TrainEvent } from '../src/core/events';
import type { RunRecord } from '../src/core/library';
import type { RunLibrary } from '../src/storage/indexeddb';

/** How often the record and the log are written between checkpoints, in milliseconds. */
const SAVE_INTERVAL = 2000;

type Change = Partial<Omit<RunRecord, 'id'>>;

/** Follows the events of a run and writes them down, now and then and in order. */
export class Diary {
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
