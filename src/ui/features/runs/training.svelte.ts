/** The run on the chart: live while it trains, from the library afterwards. */
import type { PlainError } from '../../../core/errors';
import type { LogRow } from '../../../core/events';
import { canGoOn, type RunDetail, type RunRecord } from '../../../core/library';
import type { Profile } from '../../../core/profile';
import type { Voice } from '../../../protocol/chat';
import type { JobEvent } from '../../../protocol/jobs';
import type { ModelRef } from '../../../protocol/models';
import type { RunEvent, TrainRequest } from '../../../protocol/runs';
import { Job } from '../../client/job.svelte';
import type { Workers } from '../../client/workers';

/** Milliseconds after which a cancel that waits for its step offers to end the worker. */
const PATIENCE = 8000;

/** Milliseconds between two changes of the curve. */
const REDRAW = 100;

export class TrainingState {
  record = $state.raw<RunRecord>();
  /** Rows of the log, by step: of training and of evaluation. */
  rows = $state.raw<readonly LogRow[]>([]);
  /** The cancel takes so long that the user may end the worker instead. */
  stuck = $state(false);
  /** What is being done, in words. */
  phase = $state('');
  totalSteps = $state(0);
  tokensPerSecond = $state<number>();
  secondsLeft = $state<number>();
  notices = $state.raw<readonly string[]>([]);

  /** Dispatches of the run's programs, once they are planned. */
  dispatches = $state.raw<{ train: number; update: number; evaluate: number }>();

  /** Where the time of a step went, and which step it was. */
  profile = $state.raw<{ step: number; profile: Profile }>();
  /** A profile was asked for and has not come. */
  profiling = $state(false);

  /** Who answers from the run that trains; undefined where nobody does, or not yet. */
  voices = $state.raw<readonly Voice[]>();

  /** Nothing was trained yet in this sitting: kernels are being built. */
  warmingUp = $state(false);

  /** Bytes or rows are being counted, and not all of them have come. */
  private counts = $state(false);
  /** What the library says of a past run's failure. */
  private pastError = $state.raw<PlainError>();
  /** Why the run that was started last never began. */
  unbegunError = $state.raw<PlainError>();
  /** Whether a run, and which of the two jobs for it, is under way. */
  private current = $state.raw<Job<'runs.train'> | Job<'runs.resume'>>();
  private readonly starting: Job<'runs.train'>;
  private readonly resuming: Job<'runs.resume'>;
  /** Rows that have come since the page was last told; a fast GPU sends more than can be drawn. */
  private fresh: LogRow[] = [];
  private flushing: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly workers: Workers,
    /** Called when a run has come or gone in the library. */
    private readonly onChange: (runId: string) => Promise<void>,
  ) {
    const hear = (event: JobEvent<RunEvent>) => this.hear(event);
    this.starting = new Job(workers, 'runs.train', hear);
    this.resuming = new Job(workers, 'runs.resume', hear);
  }

  get running(): boolean {
    return this.current !== undefined;
  }

  /** Cancelled, but the step under way is not over. */
  get stopping(): boolean {
    return this.current?.state === 'stopping';
  }

  /** Bytes of weights that are loaded, or rows that are read, while that goes on. */
  get progress() {
    return this.counts ? this.current?.progress : undefined;
  }

  get error(): PlainError | undefined {
    return this.current ? undefined : (this.starting.error ?? this.resuming.error ?? this.pastError);
  }

  async start(request: TrainRequest): Promise<void> {
    if (this.running) return;
    this.clear();
    await this.follow(this.starting, () => this.starting.run(request));
  }

  /** Goes on from the last checkpoint; `model` is needed where the run's own was a folder of the disk. */
  async resume(runId: string, model: ModelRef | null, talk: boolean): Promise<void> {
    if (this.running) return;
    await this.follow(this.resuming, () => this.resuming.run({ runId, model, talk }));
  }

  cancel(): void {
    if (!this.current || this.stopping) return;
    const { current } = this;
    current.cancel();
    setTimeout(() => (this.stuck = this.current === current && this.stopping), PATIENCE);
  }

  /** Asks the run for a profile of its next step. */
  async measure(): Promise<void> {
    if (!this.running || this.profiling) return;
    this.profiling = true;
    await this.workers.gpu.call((worker) => worker.runs.profileNextStep()).catch(() => (this.profiling = false));
  }

  /** Ends the worker in the middle of a step: the run goes on from its last checkpoint when it is resumed. */
  forceStop(): void {
    this.workers.gpu.stop(
      new Error('Training was stopped in the middle of a step. Resume goes on from the last checkpoint.'),
    );
  }

  /** Shows a run of the library. */
  show(run: RunDetail): void {
    if (this.running) return;
    this.clear();
    this.put(run);
  }

  /** Shows what was open before a run that failed before it began, or nothing; the reason stays. */
  leaveUnbegun(before: RunDetail | undefined): void {
    const { error } = this;
    this.clear();
    if (before) this.put(before);
    this.unbegunError = error;
  }

  private put({ record, log }: RunDetail): void {
    this.record = record;
    this.rows = log;
    this.totalSteps = record.totalSteps;
    this.pastError = record.error ?? undefined;
  }

  clear(): void {
    if (this.running) return;
    this.record = undefined;
    this.rows = [];
    this.totalSteps = 0;
    this.notices = [];
    this.pastError = undefined;
    this.unbegunError = undefined;
    this.starting.clear();
    this.resuming.clear();
    this.profile = undefined;
    this.dispatches = undefined;
  }

  /** The last row with a loss. */
  get last(): LogRow | undefined {
    return this.rows.findLast(({ loss }) => loss !== undefined);
  }

  get lastEval(): LogRow | undefined {
    return this.rows.findLast((row) => row.eval_loss !== undefined);
  }

  get canResume(): boolean {
    return !this.running && this.record !== undefined && canGoOn(this.record);
  }

  private async follow(job: Job<'runs.train'> | Job<'runs.resume'>, run: () => Promise<unknown>): Promise<void> {
    this.starting.clear();
    this.resuming.clear();
    this.current = job;
    this.pastError = undefined;
    this.unbegunError = undefined;
    this.warmingUp = true;
    this.stuck = false;
    this.phase = 'Starting';
    this.notices = [];
    await run();
    this.flush();
    this.current = undefined;
    this.stuck = false;
    this.profiling = false;
    this.voices = undefined;
    this.secondsLeft = undefined;
    this.phase = '';
    if (this.record) await this.onChange(this.record.id).catch(() => undefined);
  }

  private hear(event: JobEvent<RunEvent>): void {
    if (event.kind === 'run') {
      this.record = event.record;
      this.totalSteps = event.record.totalSteps;
      void this.onChange(event.record.id).catch(() => undefined);
    } else if (event.kind === 'queued') {
      this.phase = 'Waiting for the GPU';
    } else if (event.kind === 'phase') {
      this.phase = event.detail;
      this.counts = false;
    } else if (event.kind === 'progress') {
      this.counts = event.unit === 'bytes' || event.done < event.total;
    } else if (event.kind === 'plan') {
      this.totalSteps = event.totalSteps;
      this.dispatches = event.dispatches;
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
    } else if (event.kind === 'talk') {
      this.voices = event.voices;
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
