/**
 * Jobs of the text worker. They read what others wrote, and some of that never comes to an end: the worker is then
 * ended and started anew, the job that held it up fails with a sentence, and all others run again as if nothing had
 * happened. The same request is refused from then on, after a reload too, until somebody asks to try again.
 */
import { proxy, wrap } from 'comlink';
import { GraftError } from '../../core/errors';
import {
  isCommonEvent,
  type EventOf,
  type JobId,
  type JobRunner,
  type RequestOf,
  type ResultOf,
} from '../../protocol/jobs';
import type { TextEntry, TextJobs, TextWorker } from '../../protocol/workers';
import { wait } from '../wait';
import { HungRequests } from './hung-requests';
import { describeHang, identifyRequest } from './text-requests';
import { Watch, type Patience } from './watch';
import { WorkerClient } from './worker-client';

/** How long the worker may be silent, and a job alone that was under way when it was silent before. */
const PATIENCE_WITH_ALL: Patience = { silence: 2500, lastChance: 500 };
const PATIENCE_WITH_SUSPECT: Patience = { silence: 1500, lastChance: 300 };

/** Milliseconds that a job is given to end by itself once it is cancelled. */
const CANCEL_PATIENCE = 400;

/** Milliseconds without a sign of life, which comes twice in them, of a worker that a job holds up. */
const HELD_UP = 800;

/** Milliseconds until a worker that is silent is looked at once more. */
const LOOK_AGAIN = 100;

/** One job that was asked for, for as long as nobody has its result. */
interface Pending {
  /** The worker has it; otherwise it waits for its turn. */
  isRunning: boolean;
  /** When the worker was asked for it. */
  askedAt: number;
  /** Where it stood when it was last heard of: rows that are read. */
  rows: number;
  cancelled: boolean;
  /** It held the worker up. */
  hung: boolean;
}

/** Why a worker was ended; the jobs and calls that were under way on it are asked for again. */
class Ended extends Error {}

export class TextJobRunner implements JobRunner<TextJobs> {
  private readonly client: WorkerClient<TextWorker>;
  private readonly hung = new HungRequests();
  private readonly pending = new Map<JobId, Pending>();
  /** After a hang with several jobs under way they run one after another, so that it is known which one hangs. */
  private turn: Promise<void> = Promise.resolve();
  private isolating = 0;
  private watch: Watch | undefined;

  constructor(startWorker: () => Worker) {
    const start = () => {
      const worker = startWorker();
      this.watch?.end();
      this.watch = new Watch(
        worker,
        () => {
          if (this.running().length === 0) return undefined;
          return this.isolating > 0 ? PATIENCE_WITH_SUSPECT : PATIENCE_WITH_ALL;
        },
        () => this.endHung(),
      );
      return worker;
    };
    this.client = new WorkerClient('The reader', start, (worker) =>
      // Services answer with promises only, so that what comlink gives is what they are.
      wrap<TextEntry>(worker).open(document.baseURI),
    );
  }

  /**
   * Calls a service. What is asked of one may have been under way when the worker was ended for a job's sake: it is asked
   * again then, so that nobody loses a dataset or a token to somebody else's tokenizer.
   */
  async call<T>(ask: (services: TextWorker) => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await this.client.call(ask);
      } catch (error) {
        if (!(error instanceof Ended)) throw error;
      }
    }
  }

  /** What every worker is told before anything else is asked of it. */
  onStart(prepare: (services: TextWorker) => void): void {
    this.client.onStart(prepare);
  }

  /** Takes requests again that were refused because they hung. */
  forgetHung(): void {
    this.hung.clear();
  }

  async run<K extends keyof TextJobs>(
    id: JobId,
    kind: K,
    request: RequestOf<TextJobs, K>,
    onEvent: (event: EventOf<TextJobs, K>) => void | Promise<void>,
  ): Promise<ResultOf<TextJobs, K>> {
    const key = identifyRequest(kind, request);
    const before = this.hung.reasonFor(key);
    if (before !== undefined) throw new GraftError('bad-data', before);
    const job: Pending = { isRunning: false, askedAt: 0, rows: 0, cancelled: false, hung: false };
    this.pending.set(id, job);
    const hear = (event: EventOf<TextJobs, K>) => {
      if (isCommonEvent(event) && event.kind === 'progress' && event.unit === 'rows') job.rows = event.done;
      return job.cancelled ? undefined : onEvent(event);
    };
    try {
      for (let attempt = 1; ; attempt++) {
        const release = attempt > 1 || this.isolating > 0 ? await this.waitForTurn() : undefined;
        try {
          if (job.cancelled) throw cancelled();
          job.isRunning = true;
          job.askedAt = performance.now();
          return await this.client.call((worker) => worker.jobs.run(id, kind, request, proxy(hear)));
        } catch (error) {
          if (job.hung) {
            const reason = describeHang(kind, request, job.rows);
            this.hung.add(key, reason);
            throw new GraftError('bad-data', reason);
          }
          if (job.cancelled) throw cancelled();
          if (!(error instanceof Ended)) throw error;
        } finally {
          job.isRunning = false;
          release?.();
        }
      }
    } finally {
      this.pending.delete(id);
    }
  }

  async cancel(id: JobId): Promise<void> {
    const job = this.pending.get(id);
    if (!job) return;
    job.cancelled = true;
    if (!job.isRunning) return; // it ends when it is its turn
    this.client.call((worker) => worker.jobs.cancel(id)).catch(() => undefined);
    await wait(CANCEL_PATIENCE);
    // The page may have slept itself: two looks must find the same.
    for (let looks = 0; job.isRunning; await wait(LOOK_AGAIN)) {
      looks = this.isHeldUpByCancelled() ? looks + 1 : 0;
      if (looks === 2) return this.client.stop(new Ended());
    }
  }

  /**
   * Whether the worker is silent, and every job that may be the reason is cancelled: one that was asked for since it was
   * last heard of hasn't begun. What takes long in one go and said so comes to its end: others may want the same.
   */
  private isHeldUpByCancelled(): boolean {
    const heard = this.watch?.heardAt;
    if (heard === undefined || this.watch?.isExpected) return false;
    if (performance.now() - heard < HELD_UP) return false;
    return this.running().every((job) => job.cancelled || job.askedAt > heard);
  }

  private async waitForTurn(): Promise<() => void> {
    const before = this.turn;
    let release = () => {};
    const done = new Promise<void>((resolve) => (release = resolve));
    this.turn = before.then(() => done);
    this.isolating++;
    await before;
    return () => {
      this.isolating--;
      release();
    };
  }

  private running(): Pending[] {
    return [...this.pending.values()].filter((job) => job.isRunning);
  }

  private endHung(): void {
    const jobs = this.running();
    const [only] = jobs;
    if (only && jobs.length === 1) only.hung = true;
    this.client.stop(new Ended());
  }
}

function cancelled(): GraftError {
  return new GraftError('cancelled', 'Stopped because you asked for it.');
}
