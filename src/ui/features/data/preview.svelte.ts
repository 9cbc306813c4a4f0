/** What a run would train on and what it would need, before it is started. Follows model, dataset and settings. */
import type { PlainError } from '../../../core/errors';
import type { DataReport, ExampleView } from '../../../core/events';
import type { RunRequest } from '../../../protocol/data';
import type { PlanReport } from '../../../protocol/plan';
import type { TrainRequest } from '../../../protocol/runs';
import { Job } from '../../client/job.svelte';
import type { Workers } from '../../client/workers';

/** Milliseconds: a change so soon after another is asked for after as many without a further one. */
const SETTLE = 150;

/** Milliseconds of reading before anything is said of it. */
const UNSEEN = 250;

export class PreviewState {
  /** On the whole dataset, or on its first rows while the rest is read. */
  report = $state.raw<DataReport>();
  /** Rows of the whole by its size, while the report is on the first ones. */
  estimatedRows = $state<number>();
  /** Of the dataset that was read to its end last. */
  rows = $state<number>();
  /** Tokens of the longest row that was read. The first ones tell it at once, so that the rest is read with a limit for it. */
  longest = $state<number>();
  plan = $state.raw<PlanReport>();
  /** What is wrong with the data, or with what the settings ask of the model. */
  dataError = $state.raw<PlainError>();
  planError = $state.raw<PlainError>();
  example = $state.raw<ExampleView>();
  /** Which example is shown, counted from 0. */
  index = $state(0);
  busy = $state(false);
  /** The worker takes time to speak of. */
  private isSlow = $state(false);
  /** The report is on what was chosen before: nothing of it is shown as these data's. */
  outdated = $state(false);
  /** The user stopped the reading. */
  stopped = $state(false);

  private readonly inspecting: Job<'data.inspect'>;
  private readonly planning: Job<'plan.run'>;
  private readonly showing: Job<'data.examples'>;
  private request: TrainRequest | undefined;
  /** When another request came last. */
  private changedAt = -Infinity;
  /** What the report is on. */
  private reported = $state.raw<RunRequest>();

  constructor(private readonly workers: Workers) {
    this.inspecting = new Job(workers, 'data.inspect', (event) => {
      if (event.kind === 'cut') this.longest = event.longest; // a preset fits its limit to it, and they are read again
      if (event.kind !== 'first') return;
      this.showReport(event.report, event.estimatedRows);
      this.showFirst();
    });
    this.planning = new Job(workers, 'plan.run');
    this.showing = new Job(workers, 'data.examples');
  }

  /** The dataset is being read, and that takes time to speak of: not where it was read before, and is merely looked at again. */
  get reading(): boolean {
    return this.isSlow && (this.progress !== undefined || !this.request || !this.hasRead(this.request));
  }

  /** Rows that are read, of how many, and how many a second; undefined before the first. */
  get progress() {
    return this.inspecting.progress;
  }

  /** Asks for a new preview soon; the answer to an older request is dropped. */
  follow(request: TrainRequest): () => void {
    if (this.request?.model !== request.model) {
      // What another model needs would be read as this one's.
      this.plan = undefined;
      this.planError = undefined;
    }
    // What is wrong with the data that were chosen before says nothing of these.
    if (this.request && !readsAlike(this.request, request)) this.dataError = undefined;
    this.outdated = this.reported !== undefined && !readsAlike(this.reported, request);
    if (this.outdated) {
      this.plan = undefined; // its steps are those of other rows
      this.planError = undefined;
    }
    this.request = request;
    this.busy = true;
    this.stopped = false;
    const now = performance.now();
    const wait = now - this.changedAt < SETTLE ? SETTLE : 0;
    this.changedAt = now;
    const timer = setTimeout(() => void this.refresh(request), wait);
    return () => clearTimeout(timer);
  }

  async show(index: number): Promise<void> {
    const rows = this.report?.kept ?? 0;
    if (!this.request || rows === 0) return;
    this.index = Math.min(Math.max(0, index), rows - 1);
    if (this.inspecting.isRunning) return this.showFirst(); // the rest is shown when the reading is over
    const { request } = this;
    const examples = await this.showing.run({ ...request, from: this.index, count: 1 });
    if (examples && this.request === request) this.example = examples[0];
  }

  /** Whether the whole of this request's data was read for its model, and can be trained on. */
  hasRead(request: RunRequest): boolean {
    const { reported } = this;
    return (
      this.report !== undefined &&
      !this.dataError &&
      this.estimatedRows === undefined &&
      !!reported &&
      readsAlike(reported, request)
    );
  }

  /** Stops the reading under way; the next change starts another. */
  stop(): void {
    this.inspecting.cancel();
  }

  /** Reads once more what was stopped, by the user or because it held the worker up. */
  readAgain(): void {
    if (!this.request) return;
    this.workers.text.forgetHung();
    this.isSlow = true;
    this.follow(this.request);
  }

  private async refresh(request: TrainRequest): Promise<void> {
    const isStale = () => this.request !== request;
    const slow = setTimeout(() => (this.isSlow = true), UNSEEN);
    const report = await this.inspecting.run(request).finally(() => clearTimeout(slow));
    if (isStale()) return;
    this.isSlow = false;
    this.outdated = false;
    this.stopped = this.inspecting.stopped;
    this.dataError = this.inspecting.error;
    if (!report) {
      this.report = undefined;
      this.estimatedRows = undefined;
      this.example = undefined;
      this.plan = undefined;
      this.planError = undefined;
      this.busy = false;
      return;
    }
    this.showReport(report, undefined);
    if (report.refusal !== undefined) this.plan = undefined;
    void this.show(Math.min(this.index, report.kept - 1));
    const plan = report.refusal === undefined ? await this.planning.run(request) : undefined;
    if (isStale()) return;
    this.plan = plan;
    this.planError = report.refusal === undefined ? this.planning.error : undefined;
    this.busy = false;
  }

  /** Shows a row of those that are read first. */
  private showFirst(): void {
    if (this.estimatedRows === undefined) return;
    const { examples } = this.report ?? { examples: [] };
    this.index = Math.min(this.index, examples.length - 1);
    this.example = examples[this.index];
  }

  private showReport(report: DataReport, estimatedRows: number | undefined): void {
    this.report = report;
    this.estimatedRows = estimatedRows;
    this.longest = report.longest;
    if (estimatedRows === undefined) this.rows = report.kept;
    this.reported = this.request;
    this.outdated = false;
    this.dataError = report.refusal === undefined ? undefined : { code: 'bad-data', message: report.refusal };
  }
}

function readsAlike(a: RunRequest, b: RunRequest): boolean {
  const columns = ({ config }: RunRequest) => JSON.stringify(config.dataset_mapping);
  return a.model === b.model && a.dataset === b.dataset && columns(a) === columns(b);
}
