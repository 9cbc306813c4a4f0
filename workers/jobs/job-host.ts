/** Runs a worker's jobs: those that need the GPU one at a time, all others side by side. */
import type { CommonEvent, EventOf, JobId, JobRunner, RequestOf, ResultOf } from '../../src/protocol/jobs';
import { JobQueue, JobSet } from './jobs';

/** What a job has to do with while it runs. */
export interface JobContext<Event> {
  /** Aborted where the user gives up on the job. */
  readonly signal: AbortSignal;
  report(event: Event): void;
}

/** One function a kind of job. */
export type JobHandlers<Kinds> = {
  readonly [K in keyof Kinds]: (
    request: RequestOf<Kinds, K>,
    job: JobContext<EventOf<Kinds, K>>,
  ) => Promise<ResultOf<Kinds, K>>;
};

export class JobHost<Kinds> implements JobRunner<Kinds> {
  private readonly queue = new JobQueue();
  private readonly beside = new JobSet();

  constructor(
    private readonly handlers: JobHandlers<Kinds>,
    private readonly options: {
      /** Where given, jobs wait for each other, but for those that this says run beside: a rule a kind. */
      readonly besideQueue?: { readonly [K in keyof Kinds]?: (request: RequestOf<Kinds, K>) => boolean };
      /** Called when it is a job's turn. */
      readonly onStart?: (job: JobContext<CommonEvent>) => void;
    } = {},
  ) {}

  run<K extends keyof Kinds>(
    id: JobId,
    kind: K,
    request: RequestOf<Kinds, K>,
    onEvent: (event: EventOf<Kinds, K>) => void | Promise<void>,
  ): Promise<ResultOf<Kinds, K>> {
    const { besideQueue } = this.options;
    const isQueued = besideQueue !== undefined && !besideQueue[kind]?.(request);
    let heard: void | Promise<void>;
    // Events go another way than the result, which waits until the last of them has come.
    const report = (event: EventOf<Kinds, K>) => {
      heard = onEvent(event);
    };
    if (isQueued && this.queue.isBusy) report({ kind: 'queued' });
    return (isQueued ? this.queue : this.beside).run(id, async (signal) => {
      if (isQueued) report({ kind: 'started' });
      this.options.onStart?.({ signal, report });
      try {
        return await this.handlers[kind](request, { signal, report });
      } finally {
        await heard;
      }
    });
  }

  cancel(id: JobId): Promise<void> {
    this.queue.cancel(id);
    this.beside.cancel(id);
    return Promise.resolve();
  }
}
