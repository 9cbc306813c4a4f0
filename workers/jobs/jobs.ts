/** Jobs that can be cancelled by name: all at once, or one at a time in the order of asking. */
import { throwIfCancelled } from '../../src/core/errors';
import type { JobId } from '../../src/protocol/jobs';

/** Jobs that run beside each other. */
export class JobSet {
  private readonly controllers = new Map<JobId, AbortController>();

  /** Whether a job runs or waits. */
  get isBusy(): boolean {
    return this.controllers.size > 0;
  }

  async run<T>(job: JobId, action: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const controller = new AbortController();
    this.controllers.set(job, controller);
    try {
      return await action(controller.signal);
    } finally {
      this.controllers.delete(job);
    }
  }

  /** Does nothing for a job that is over or was never asked for. */
  cancel(job: JobId): void {
    this.controllers.get(job)?.abort();
  }
}

/** One job at a time, in the order of asking; each can be cancelled, running or waiting. */
export class JobQueue extends JobSet {
  private tail: Promise<void> = Promise.resolve();

  /** Runs `action` after all jobs before it. @throws `cancelled` at once where it is cancelled while it waits. */
  override run<T>(job: JobId, action: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const before = this.tail;
    let finish = () => {};
    const done = new Promise<void>((resolve) => (finish = resolve));
    this.tail = before.then(() => done);
    return super.run(job, async (signal) => {
      try {
        await Promise.race([before, aborted(signal)]);
        throwIfCancelled(signal);
        return await action(signal);
      } finally {
        finish();
      }
    });
  }
}

/** Work that can't be stopped, left behind when the signal is aborted. @throws `cancelled` then */
export async function orCancelled<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  work.catch(() => undefined); // nobody may be left to hear of it
  await Promise.race([work, aborted(signal)]);
  throwIfCancelled(signal);
  return work;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
