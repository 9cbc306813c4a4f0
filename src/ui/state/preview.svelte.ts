/** What a run would train on and what it would need, before it is started. Follows model, dataset and settings. */
import { proxy } from 'comlink';
import { GraftError } from '../../core/errors';
import type { DataReport, ExampleView, PlainError } from '../../core/events';
import type { DatasetRef, PlanReport, RunRequest } from '../../protocol';
import { isCancelled, toPlainError } from '../client/errors';
import type { WorkerClient } from '../client/worker-client';

/** Milliseconds without a further change before the worker is asked. */
const SETTLE = 150;

/** Milliseconds of reading before anything is said of it. */
const UNSEEN = 250;

export class PreviewState {
  report = $state.raw<DataReport>();
  plan = $state.raw<PlanReport>();
  /** What is wrong with the data, or with what the settings ask of the model. */
  dataError = $state.raw<PlainError>();
  planError = $state.raw<PlainError>();
  example = $state.raw<ExampleView>();
  /** Which example is shown, counted from 0. */
  index = $state(0);
  busy = $state(false);
  /** The dataset is being read, and that takes time to speak of. */
  reading = $state(false);
  /** Rows of it that are read, of how many; undefined before the first. */
  progress = $state.raw<{ rows: number; totalRows: number }>();
  /** The report is on what was chosen before. */
  outdated = $state(false);
  /** The user stopped the reading. */
  stopped = $state(false);

  private asked = 0;
  private request: RunRequest | undefined;
  /** What the report is on. */
  private reported: RunRequest | undefined;
  private job: { controller: AbortController; dataset: DatasetRef } | undefined;

  constructor(private readonly client: WorkerClient) {}

  /** Asks for a new preview soon; the answer to an older request is dropped. */
  follow(request: RunRequest): () => void {
    const ask = ++this.asked;
    if (this.request?.model !== request.model) {
      // What another model needs would be read as this one's.
      this.plan = undefined;
      this.planError = undefined;
    }
    this.request = request;
    this.busy = true;
    this.stopped = false;
    const timer = setTimeout(() => void this.refresh(ask, request), SETTLE);
    return () => clearTimeout(timer);
  }

  async show(index: number): Promise<void> {
    const rows = this.report?.kept ?? 0;
    if (!this.request || rows === 0) return;
    this.index = Math.min(Math.max(0, index), rows - 1);
    if (this.job) return; // shown when the reading is over
    const { request, index: shown } = this;
    const [example] = await this.client.call((worker) => worker.examples(request, shown, 1)).catch(() => []);
    if (this.index === shown && this.request === request) this.example = example;
  }

  /** Stops the reading under way; the next change starts another. */
  stop(): void {
    if (!this.job) return;
    this.stopped = true;
    this.job.controller.abort();
  }

  readAgain(): void {
    if (!this.request) return;
    this.reading = true;
    this.follow(this.request);
  }

  private async read(request: RunRequest): Promise<DataReport> {
    const { model, dataset } = request;
    const { job: before, reported } = this;
    const controller = new AbortController();
    const job = { controller, dataset };
    this.job = job;
    if (before?.dataset !== dataset) this.progress = undefined;
    const slow = setTimeout(() => {
      this.reading = true;
      this.outdated = reported !== undefined && (reported.model !== model || reported.dataset !== dataset);
    }, UNSEEN);
    const onProgress = (rows: number, totalRows: number) => {
      if (this.job === job) this.progress = { rows, totalRows };
    };
    const asked = this.client.job(controller.signal, (worker, id) => worker.inspect(id, request, proxy(onProgress)));
    // Only now: where both read the same, the worker goes on with it.
    before?.controller.abort();
    try {
      return await orStopped(asked, controller.signal);
    } finally {
      clearTimeout(slow);
      if (this.job === job) {
        this.job = undefined;
        this.reading = false;
        this.progress = undefined;
      }
    }
  }

  private async refresh(ask: number, request: RunRequest): Promise<void> {
    const isStale = () => ask !== this.asked;
    try {
      const report = await this.read(request);
      if (isStale()) return;
      this.report = report;
      this.reported = request;
      this.outdated = false;
      this.dataError = undefined;
      await this.show(Math.min(this.index, report.kept - 1));
    } catch (error) {
      if (isStale()) return;
      this.report = undefined;
      this.outdated = false;
      this.example = undefined;
      this.plan = undefined;
      this.planError = undefined;
      this.stopped = isCancelled(error);
      this.dataError = this.stopped ? undefined : toPlainError(error);
      this.busy = false;
      return;
    }
    try {
      const plan = await this.client.call((worker) => worker.plan(request));
      if (isStale()) return;
      this.plan = plan;
      this.planError = undefined;
    } catch (error) {
      if (isStale()) return;
      this.plan = undefined;
      this.planError = toPlainError(error);
    }
    this.busy = false;
  }
}

/** What was asked for, or `cancelled` at once: a worker in the middle of a large file hears of it a little later. */
function orStopped<T>(asked: Promise<T>, signal: AbortSignal): Promise<T> {
  const stopped = new Promise<never>((_, reject) => {
    const stop = () => reject(new GraftError('cancelled', 'Reading was stopped.'));
    signal.addEventListener('abort', stop, { once: true });
  });
  return Promise.race([asked, stopped]);
}
