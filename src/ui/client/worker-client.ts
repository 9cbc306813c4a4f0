/**
 * The page's end of one worker. It owns the worker's lifetime: started when first needed, ended when it hangs or dies,
 * started anew by the next call. Every call of a dead worker fails instead of waiting for ever.
 */

/** A worker that runs, and what it offers. */
interface Live<Services> {
  readonly worker: Worker;
  readonly services: Promise<Services>;
  /** Rejects when the worker is gone. */
  readonly gone: Promise<never>;
  readonly end: (reason: Error) => void;
}

export class WorkerClient<Services> {
  private live: Live<Services> | undefined;
  private prepare: (services: Services) => void = () => undefined;

  constructor(
    /** What it is to the user, as the beginning of a sentence. */
    private readonly name: string,
    private readonly startWorker: () => Worker,
    /** Asks the worker's script for its services. */
    private readonly openServices: (worker: Worker) => Promise<Services>,
  ) {}

  /** What every worker is told before anything else is asked of it. */
  onStart(prepare: (services: Services) => void): void {
    this.prepare = prepare;
  }

  /** Calls the worker; rejects with the worker's error, where the worker dies first, or can't be started. */
  async call<T>(ask: (services: Services) => Promise<T>): Promise<T> {
    const live = (this.live ??= this.start());
    return Promise.race([live.services.then(ask), live.gone]);
  }

  /** Ends the worker at once, whatever it does. What it had saved stays. */
  stop(reason: Error): void {
    this.live?.end(reason);
  }

  private start(): Live<Services> {
    const worker = this.startWorker();
    let end: Live<Services>['end'] = () => undefined;
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
      end(new Error(`${this.name} stopped working (${what}). Reload the page and try again.`));
    });
    const services = this.open(worker);
    services.catch((error: unknown) => end(error instanceof Error ? error : new Error(String(error))));
    return { worker, services, gone, end };
  }

  private async open(worker: Worker): Promise<Services> {
    const services = await this.openServices(worker);
    this.prepare(services);
    return services;
  }
}
