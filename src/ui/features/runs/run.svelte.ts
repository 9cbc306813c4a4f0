/** The run that a page shows: what the library has of it, or how it trains here. */
import { parseRunConfig, type RunConfig } from '../../../core/config';
import { plainError, type PlainError } from '../../../core/errors';
import type { LogRow } from '../../../core/events';
import { canGoOn, canSpeak, hasResult, type RunDetail, type RunRecord } from '../../../core/library';
import type { Workers } from '../../client/workers';
import type { TrainingState } from './training.svelte';

export class RunState {
  /** Undefined while no run is shown. */
  id = $state<string>();
  /** The run as the library has it, with its log and files. */
  detail = $state.raw<RunDetail>();
  /** Why the library can't give it. */
  readError = $state.raw<PlainError>();

  constructor(
    private readonly workers: Workers,
    private readonly training: TrainingState,
  ) {}

  /** Shows another run. */
  async show(id: string): Promise<void> {
    if (this.id !== id) {
      this.id = id;
      this.detail = undefined;
      this.readError = undefined;
    }
    await this.refresh();
  }

  /** Reads the run that is shown again: it has come further, or has another name. */
  async refresh(): Promise<void> {
    const { id } = this;
    if (id === undefined) return;
    try {
      const detail = await this.workers.gpu.call((worker) => worker.runs.read(id));
      if (this.id === id) this.detail = detail;
      if (this.id === id) this.readError = undefined;
    } catch (error) {
      if (this.id === id) this.readError = plainError(error);
    }
  }

  leave(): void {
    this.id = undefined;
    this.detail = undefined;
    this.readError = undefined;
  }

  /** It trains in this tab, or did so last. */
  get isOwn(): boolean {
    return this.id !== undefined && this.training.record?.id === this.id;
  }

  /** It trains in this tab now. */
  get running(): boolean {
    return this.isOwn && this.training.running;
  }

  get record(): RunRecord | undefined {
    const { detail, training } = this;
    if (!this.isOwn || !training.record) return detail?.record;
    return { ...training.record, name: detail?.record.name ?? training.record.name };
  }

  get rows(): readonly LogRow[] {
    return this.isOwn ? this.training.rows : (this.detail?.log ?? []);
  }

  get totalSteps(): number {
    return this.isOwn ? this.training.totalSteps : (this.detail?.record.totalSteps ?? 0);
  }

  get notices(): readonly string[] {
    return this.isOwn ? this.training.notices : [];
  }

  /** Why it stopped. */
  get error(): PlainError | undefined {
    if (this.running) return undefined;
    return (this.isOwn ? this.training.error : undefined) ?? this.record?.error ?? undefined;
  }

  /** The last row with a loss. */
  get last(): LogRow | undefined {
    return this.rows.findLast(({ loss }) => loss !== undefined);
  }

  get lastEval(): LogRow | undefined {
    return this.rows.findLast((row) => row.eval_loss !== undefined);
  }

  /** Whether it trains nowhere any more, and what it left has been read. */
  get isOver(): boolean {
    return this.detail !== undefined && !this.running && this.record?.state !== 'running';
  }

  get canResume(): boolean {
    return !this.training.running && this.record !== undefined && canGoOn(this.record);
  }

  /** Its settings, as they were resolved. */
  get config(): RunConfig | undefined {
    return this.detail && parseRunConfig(this.detail.runFile, {}, 'run.yaml');
  }

  /** Whether rows are held out to check it: those of a run that is over have left their losses. */
  get holdsOut(): boolean {
    return this.lastEval !== undefined || (this.running && (this.config?.val_set_size ?? 0) > 0);
  }

  /** The run where it can answer: by what it has left, or by the last checkpoint of one that was stopped. */
  get speaking(): RunDetail | undefined {
    const { detail, record } = this;
    if (!detail || !record || this.running) return undefined;
    return canSpeak({ record, files: detail.files }) ? detail : undefined;
  }

  /** The run where it has left an adapter or a model. */
  get usable(): RunDetail | undefined {
    return this.detail && hasResult(this.detail) ? this.detail : undefined;
  }
}
