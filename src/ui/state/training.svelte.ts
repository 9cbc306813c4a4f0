/** The run on the chart: live while it trains, from the library afterwards. */
import { proxy } from 'comlink';
import type { LogRow, PlainError, RunSummary } from '../../core/events';
import type { RunDetail, RunRecord } from '../../core/library';
import type { GraftWorker, JobId, ModelRef, Profile, RunEvent, RunRequest } from '../../protocol';
import type { Remote } from 'comlink';
import { isCancelled, toPlainError } from '../client/errors';
import type { WorkerClient } from '../client/worker-client';
import { TransferRate, type Transfer } from './transfer';

/** Milliseconds after which a cancel that waits for its step offers to end the worker. */
const PATIENCE = 8000;

/** Milliseconds between two changes of the curve. */
const REDRAW = 100;

type Report = (event: RunEvent) => void;

export class TrainingState {
  record = $state.raw<RunRecord>();
  /** Rows of the log, by step: of training and of evaluation. */
  rows = $state.raw<readonly LogRow[]>([]);
  running = $state(false);
  /** Cancelled, but the step under way is not over. */
  stopping = $state(false);
  /** The cancel takes so long that the user may end the worker instead. */
  stuck = $state(false);
  /** What is being done, in words. */
  phase = $state('');
  loading = $state.raw<Transfer>();
  /** Rows of the dataset that are read, of how many, while that goes on. */
  reading = $state.raw<{ rows: number; totalRows: number }>();
  totalSteps = $state(0);
  tokensPerSecond = $state<number>();
  secondsLeft = $state<number>();
  notices = $state.raw<readonly string[]>([]);
  error = $state.raw<PlainError>();

  /** Where the time of a step went, and which step it was. */
  profile = $state.raw<{ step: number; profile: Profile }>();
  /** A profile was asked for and has not come. */
  profiling = $state(false);

  /** Nothing was trained yet in this sitting: kernels are being built. */
  warmingUp = $state(false);

  private rate = new TransferRate();
  private controller: AbortController | undefined;
  /** Rows that have come since the page was last told; a fast GPU sends more than can be drawn. */
  private fresh: LogRow[] = [];
  private flushing: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly client: WorkerClient,
    /** Called when a run has come or gone in the library. */
    private readonly onChange: (runId: string) => Promise<void>,
  ) {}

  start(request: RunRequest): Promise<void> {
    this.clear();
    return this.run((worker, job, report) => worker.train(job, request, proxy(report)));
  }

  /** Goes on from the last checkpoint; `model` is needed where the run's own was a folder of the disk. */
  resume(runId: string, model: ModelRef | null): Promise<void> {
    return this.run((worker, job, report) => worker.resume(job, runId, model, proxy(report)));
  }

  cancel(): void {
    if (!this.running || this.stopping) return;
    this.stopping = true;
    this.controller?.abort();
    setTimeout(() => (this.stuck = this.stopping), PATIENCE);
  }

  /** Asks the run for a profile of its next step. */
  async measure(): Promise<void> {
    if (!this.running || this.profiling) return;
    this.profiling = true;
    await this.client.call((worker) => worker.profileNextStep()).catch(() => (this.profiling = false));
  }

  /** Ends the worker in the middle of a step: the run goes on from its last checkpoint when it is resumed. */
  forceStop(): void {
    this.client.stop('Training was stopped in the middle of a step. Resume goes on from the last checkpoint.');
  }

  /** Shows a run of the library. */
  show({ record, log }: RunDetail): void {
    if (this.running) return;
    this.clear();
    this.record = record;
    this.rows = log;
    this.totalSteps = record.totalSteps;
    this.error = record.error ?? undefined;
  }

  clear(): void {
    if (this.running) return;
    this.record = undefined;
    this.rows = [];
    this.totalSteps = 0;
    this.notices = [];
    this.error = undefined;
    this.profile = undefined;
  }

  /** The last row with a loss. */
  get last(): LogRow | undefined {
    return this.rows.findLast(({ loss }) => loss !== undefined);
  }

  get lastEval(): LogRow | undefined {
    return this.rows.findLast((row) => row.eval_loss !== undefined);
  }

  get canResume(): boolean {
    const state = this.record?.state;
    return !this.running && (state === 'interrupted' || state === 'cancelled' || state === 'failed');
  }

  private async run(
    ask: (worker: Remote<GraftWorker>, job: JobId, report: Report) => Promise<RunSummary>,
  ): Promise<void> {
    if (this.running) return;
    const controller = new AbortController();
    this.controller = controller;
    this.running = true;
    this.warmingUp = true;
    this.stopping = false;
    this.stuck = false;
    this.phase = 'Starting';
    this.error = undefined;
    this.notices = [];
    try {
      await this.client.job(controller.signal, (worker, job) => ask(worker, job, (event) => this.take(event)));
    } catch (error) {
      if (!isCancelled(error)) this.error = toPlainError(error);
    } finally {
      this.flush();
      this.running = false;
      this.stopping = false;
      this.stuck = false;
      this.profiling = false;
      this.loading = undefined;
      this.reading = undefined;
      this.secondsLeft = undefined;
      this.phase = '';
      if (this.record) await this.onChange(this.record.id).catch(() => undefined);
    }
  }

  private take(event: RunEvent): void {
    if (event.kind === 'run') {
      this.record = event.record;
      this.totalSteps = event.record.totalSteps;
      void this.onChange(event.record.id).catch(() => undefined);
    } else if (event.kind === 'phase') {
      this.phase = event.detail;
      this.reading = undefined;
      if (event.phase === 'loading') this.rate = new TransferRate();
      else this.loading = undefined;
    } else if (event.kind === 'reading') {
      this.reading = event.rows < event.totalRows ? event : undefined;
    } else if (event.kind === 'loading') {
      this.loading = this.rate.note(event.loadedBytes, event.totalBytes);
    } else if (event.kind === 'plan') {
      this.totalSteps = event.totalSteps;
    } else if (event.kind === 'resumed') {
      this.flush();
      this.rows = this.rows.filter((row) => row.step <= event.step);
    } else if (event.kind === 'step') {
      this.add(event.row);
      this.warmingUp = false;
      this.totalSteps = event.totalSteps;
      this.tokensPerSecond = event.tokensPerSecond;
      this.secondsLeft = event.secondsLeft;
    } else if (event.kind === 'eval') {
      this.add(event.row);
    } else if (event.kind === 'profile') {
      this.profile = event;
      this.profiling = false;
    } else if (event.kind === 'early-stop') {
      this.notices = [
        ...this.notices,
        `Stopped early: the held-out loss was best at step ${event.bestStep}, which is kept.`,
      ];
    } else if (event.kind === 'notice') {
      this.notices = [...this.notices, event.message];
    }
  }

  private add(row: LogRow): void {
    this.fresh.push(row);
    this.flushing ??= setTimeout(() => this.flush(), REDRAW);
  }

  private flush(): void {
    clearTimeout(this.flushing);
    this.flushing = undefined;
    if (this.fresh.length === 0) return;
    this.rows = [...this.rows, ...this.fresh];
    this.fresh = [];
  }
}
