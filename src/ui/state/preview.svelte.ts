/** What a run would train on and what it would need, before it is started. Follows model, dataset and settings. */
import { proxy } from 'comlink';
import type { DataReport, ExampleView, PlainError } from '../../core/events';
import type { PlanReport, RunRequest } from '../../protocol';
import { isCancelled, toPlainError } from '../client/errors';
import type { WorkerClient } from '../client/worker-client';

/** Milliseconds without a further change before the worker is asked. */
const SETTLE = 150;

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
  /** Rows of the dataset that are read, of how many; undefined where that takes no time to speak of. */
  progress = $state.raw<{ rows: number; totalRows: number }>();

  /** The user stopped the reading. */
  stopped = $state(false);

  private asked = 0;
  private request: RunRequest | undefined;
  private reading: AbortController | undefined;

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
    this.reading?.abort();
    const timer = setTimeout(() => void this.refresh(ask, request), SETTLE);
    return () => clearTimeout(timer);
  }

  async show(index: number): Promise<void> {
    const rows = this.report?.kept ?? 0;
    if (!this.request || rows === 0) return;
    this.index = Math.min(Math.max(0, index), rows - 1);
    const { request, index: shown } = this;
    const [example] = await this.client.call((worker) => worker.examples(request, shown, 1)).catch(() => []);
    if (this.index === shown && this.request === request) this.example = example;
  }

  /** Stops the reading under way; the next change starts another. */
  stop(): void {
    this.reading?.abort();
  }

  readAgain(): void {
    if (this.request) this.follow(this.request);
  }

  private async read(request: RunRequest): Promise<DataReport> {
    const reading = new AbortController();
    this.reading = reading;
    const onProgress = (rows: number, totalRows: number) => {
      if (this.reading === reading && !reading.signal.aborted) this.progress = { rows, totalRows };
    };
    try {
      return await this.client.job(reading.signal, (worker, job) => worker.inspect(job, request, proxy(onProgress)));
    } finally {
      if (this.reading === reading) this.progress = undefined;
    }
  }

  private async refresh(ask: number, request: RunRequest): Promise<void> {
    const isStale = () => ask !== this.asked;
    try {
      const report = await this.read(request);
      if (isStale()) return;
      this.report = report;
      this.dataError = undefined;
      await this.show(Math.min(this.index, report.kept - 1));
    } catch (error) {
      if (isStale()) return;
      this.report = undefined;
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
