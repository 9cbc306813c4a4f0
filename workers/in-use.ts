/** What a job on the GPU reads at the moment: it can't be deleted under it. */
import { GraftError } from '../src/core/errors';

export class InUse {
  private readonly counts = new Map<string, number>();

  /** Runs an action that reads these things. */
  async while<T>(names: readonly string[], action: () => Promise<T>): Promise<T> {
    for (const name of names) this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
    try {
      return await action();
    } finally {
      for (const name of names) this.release(name);
    }
  }

  /** @throws `storage` while something is read; `what` names it, as the beginning of a sentence */
  refuse(name: string, what: string): void {
    if (!this.counts.has(name)) return;
    throw new GraftError('storage', `${what} is in use at the moment: stop what runs with it, then delete it.`);
  }

  private release(name: string): void {
    const count = (this.counts.get(name) ?? 0) - 1;
    if (count > 0) this.counts.set(name, count);
    else this.counts.delete(name);
  }
}
