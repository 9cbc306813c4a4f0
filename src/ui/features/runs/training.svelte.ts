/** The run that trains in this tab, or did so last. */
import type { PlainError } from '../../../core/errors';
import type { LogRow } from '../../../core/events';
import type { RunDetail, RunRecord } from '../../../core/library';
import type { Profile } from '../../../core/profile';
import type { Voice } from '../../../protocol/chat';
import type { JobEvent } from '../../../protocol/jobs';
import type { ModelRef } from '../../../protocol/models';
import type { RunEvent, TrainRequest } from '../../../protocol/runs';
import { Job } from '../../client/job.svelte';
import type { Workers } from '../../client/workers';
import { FORCE_STOPPED } from './run-words';

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

  /** Something is being counted, and not all of it has come. */
  private counts = $state(false);
  /** Whether a run, and which of the two jobs for it, is under way. */
  private current = $state.raw<Job<'runs.train'> | Job<'runs.resume'>>();
  private readonly starting: Job<'runs.train'>;
  private readonly resuming: Job<'runs.resume'>;
  /** Rows that have come since the page was last told; a fast GPU sends more than can be drawn. */
  private fresh: LogRow[] = [];
  private flushing: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly workers: Workers,
    /** Called when the run has come into the library. */
    private readonly onBegin: (runId: string) => Promise<void>,
    /** Called when it is over, or never came so far; returns what the library has of it, nothing where it never began. */
    private readonly onEnd: (
      runId: string | undefined,
      error: PlainError | undefined,
    ) => Promise<RunRecord | undefined>,
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

  /** Rows that are read, bytes of weights that are loaded, or kernels that are built, while that goes on. */
  get progress() {
    return this.counts ? this.current?.progress : undefined;
  }

  get error(): PlainError | undefined {
    return this.current ? undefined : (this.starting.error ?? this.resuming.error);
  }

  async start(request: TrainRequest): Promise<void> {
    if (this.running) return;
    this.clear();
    await this.follow(this.starting, () => this.starting.run(request));
  }

  /**
   * Goes on from the last checkpoint of a run that the library has; `model` is needed where the run's own was a folder of
   * the disk.
   */
  async resume({ record, log }: RunDetail, model: ModelRef | null, talk: boolean): Promise<void> {
    if (this.running) return;
    this.clear();
    this.record = record;
    this.rows = log;
    this.totalSteps = record.totalSteps;
    const runId = record.id;
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
    this.workers.gpu.stop(new Error(FORCE_STOPPED));
  }

  clear(): void {
    if (this.running) return;
    this.record = undefined;
    this.rows = [];
    this.totalSteps = 0;
    this.notices = [];
    this.starting.clear();
    this.resuming.clear();
    this.profile = undefined;
    this.dispatches = undefined;
  }

  /** The last row with a loss. */
  get last(): LogRow | undefined {
    return this.rows.findLast(({ loss }) => loss !== undefined);
  }

  private async follow(job: Job<'runs.train'> | Job<'runs.resume'>, run: () => Promise<unknown>): Promise<void> {
    this.starting.clear();
    this.resuming.clear();
    this.current = job;
    this.warmingUp = true;
    this.tokensPerSecond = undefined;
    this.stuck = false;
    this.phase = 'Starting';
    this.notices = [];
    await run();
    this.flush();
    this.record = await this.onEnd(this.record?.id, job.error).catch(() => this.record);
    this.current = undefined;
    if (!this.record) this.clear();
    this.stuck = false;
    this.profiling = false;
    this.voices = undefined;
    this.secondsLeft = undefined;
    this.phase = '';
  }

  private hear(event: JobEvent<RunEvent>): void {
    if (event.kind === 'run') {
      this.record = event.record;
      this.totalSteps = event.record.totalSteps;
      void this.onBegin(event.record.id).catch(() => undefined);
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
