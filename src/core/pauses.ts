/** Long work on one thread, in slices: between them others get their turn, and the work can be stopped. */
import { throwIfCancelled } from './errors';

/** Milliseconds of work between two pauses. */
const SLICE = 40;

/** Pauses long work now and then. */
export class Pauses {
  private last = performance.now();

  constructor(private readonly signal?: AbortSignal) {}

  /** Whether it is time for a pause. Cheap enough to ask after every row. */
  get isDue(): boolean {
    return performance.now() - this.last >= SLICE;
  }

  /** Lets everything else run that waits. @throws `cancelled` where the signal is aborted */
  async letOthersRun(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 0));
    throwIfCancelled(this.signal);
    this.last = performance.now();
  }
}
