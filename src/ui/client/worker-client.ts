/**
 * The page's end of the engine's worker. It owns the worker's lifetime: started when first needed, ended when it
 * hangs or dies, started anew by the next call. Every call of a dead worker fails instead of waiting for ever.
 */
import { wrap, type Remote } from 'comlink';
import engineScript from '../../../workers/engine.worker.ts?worker&url';
import type { GraftWorker, JobId, WorkerEntry } from '../../protocol';
import { startWorker } from './start-worker';

interface Live {
  readonly worker: Worker;
  readonly remote: Promise<Remote<GraftWorker>>;
  /** Rejects when the worker is gone. */
  readonly gone: Promise<never>;
  readonly end: (reason: Error) => void;
}

export class WorkerClient {
  private live: Live | undefined;
  private jobs = 0;
  private prepare: (worker: Remote<GraftWorker>) => void = () => undefined;

  constructor(private readonly startWorker: () => Worker = startEngineWorker) {}

  /** What every worker is told before anything else is asked of it. */
  onStart(prepare: (worker: Remote<GraftWorker>) => void): void {
    this.prepare = prepare;
  }

  /** Calls the worker; rejects with the worker's error, or where the worker dies first. */
  call<T>(ask: (worker: Remote<GraftWorker>) => Promise<T>): Promise<T> {
    const live = (this.live ??= this.start());
    return Promise.race([live.remote.then(ask), live.gone]);
  }

  /** Calls the worker with a job that `signal` cancels. */
  async job<T>(signal: AbortSignal, ask: (worker: Remote<GraftWorker>, job: JobId) => Promise<T>): Promise<T> {
    const job = `job-${++this.jobs}`;
    const cancel = () => void this.call((worker) => worker.cancel(job)).catch(() => undefined);
    signal.addEventListener('abort', cancel, { once: true });
    try {
      return await this.call((worker) => {
        const result = ask(worker, job);
        // Cancelled while the worker was starting: the message follows the job's own.
        if (signal.aborted) cancel();
        return result;
      });
    } finally {
      signal.removeEventListener('abort', cancel);
    }
  }

  /** Ends the worker at once, whatever it does. What it had saved stays. */
  stop(reason: string): void {
    this.live?.end(new Error(reason));
  }

  private start(): Live {
    const worker = this.startWorker();
    let end: Live['end'] = () => undefined;
    const gone = new Promise<never>((_, reject) => {
      end = (reason) => {
        worker.terminate();
        if (this.live?.worker === worker) this.live = undefined;
        reject(reason);
      };
    });
    gone.catch(() => undefined); // told to whoever waits; nobody may
    worker.addEventListener('error', (event) => {
      const what = event.message || 'its script could not be loaded';
      end(new Error(`The engine stopped working (${what}). Reload the page and try again.`));
    });
    const remote = this.open(wrap<WorkerEntry>(worker));
    remote.catch((error: unknown) => end(error instanceof Error ? error : new Error(String(error))));
    return { worker, remote, gone, end };
  }

  private async open(entry: Remote<WorkerEntry>): Promise<Remote<GraftWorker>> {
    const worker = await entry.open(document.baseURI);
    this.prepare(worker);
    return worker;
  }
}

function startEngineWorker(): Worker {
  return startWorker(engineScript);
}
