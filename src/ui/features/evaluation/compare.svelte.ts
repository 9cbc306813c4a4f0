/** Both models on the questions of a run's data: answers side by side, and how many are right. */
import type { PlainError } from '../../../core/errors';
import type { CompareRow, Score } from '../../../protocol/evaluation';
import type { ModelRef } from '../../../protocol/models';
import { Job } from '../../client/job.svelte';
import type { Workers } from '../../client/workers';
import { loadSetting, removeSetting, saveSetting } from '../../persisted';

export interface ComparedQuestion {
  question: string;
  expected: string;
  /** Its row was held out of training. */
  heldOut: boolean;
  base?: Scored;
  tuned?: Scored;
}

type Scored = Score & { answer: string };

/** What is kept of a comparison. */
interface Kept {
  readonly rows: readonly ComparedQuestion[];
  readonly total: number;
  readonly complete: boolean;
}

const NOTHING: Kept = { rows: [], total: 0, complete: false };

export class CompareState {
  rows = $state.raw<readonly ComparedQuestion[]>([]);
  total = $state(0);
  /** The run that was asked. */
  runId = $state<string>();
  /** Whether the table holds every answer that was asked for. */
  complete = $state(false);

  private readonly comparing: Job<'evaluation.compare'>;

  constructor(workers: Workers) {
    this.comparing = new Job(workers, 'evaluation.compare', (event) => {
      if (event.kind === 'row' && this.comparing.state !== 'stopping') this.add(event.row);
    });
  }

  get running(): boolean {
    return this.comparing.isRunning;
  }

  get error(): PlainError | undefined {
    return this.comparing.error;
  }

  /** What was found out about the model while it was opened, a sentence each. */
  get notices(): readonly string[] {
    return this.comparing.notices;
  }

  async start(model: ModelRef, runId: string, limit: number, maxNewTokens: number): Promise<void> {
    if (this.running) return;
    this.clear();
    this.runId = runId;
    const complete = (await this.comparing.run({ model, runId, limit, maxNewTokens })) !== undefined;
    if (this.runId !== runId) return;
    this.complete = complete;
    if (this.rows.length > 0) saveSetting(settingOf(runId), { rows: this.rows, total: this.total, complete });
  }

  /** Turns to a run; what its answers were is kept with it. */
  meet(runId: string): void {
    if (this.runId === runId) return;
    this.clear();
    this.runId = runId;
    const kept = loadSetting<Kept>(settingOf(runId), NOTHING, isKept);
    this.rows = kept.rows.map((row) => ({ ...row, heldOut: row.heldOut ?? false })); // none was asked of, once
    this.total = kept.total;
    this.complete = kept.complete;
  }

  /** Drops what a run has answered: it is deleted, or learns more. */
  forget(runId: string): void {
    removeSetting(settingOf(runId));
    if (this.runId === runId) this.clear();
  }

  cancel(): void {
    this.comparing.cancel();
  }

  clear(): void {
    this.comparing.clear();
    this.rows = [];
    this.total = 0;
    this.complete = false;
    this.runId = undefined;
  }

  private add({ index, total, question, expected, heldOut, voice, answer, score }: CompareRow): void {
    this.total = total;
    const rows = [...this.rows];
    rows[index] = { ...(rows[index] ?? { question, expected, heldOut }), [voice]: { answer, ...score } };
    this.rows = rows;
  }
}

function settingOf(runId: string): string {
  return `scores-${runId}`;
}

function isKept(value: unknown): value is Kept {
  const { rows, total, complete } = (value ?? {}) as Partial<Record<string, unknown>>;
  return Array.isArray(rows) && rows.every(isQuestion) && typeof total === 'number' && typeof complete === 'boolean';
}

function isQuestion(value: unknown): boolean {
  const { question, expected, base, tuned } = (value ?? {}) as Partial<Record<string, unknown>>;
  const isScored = (scored: unknown) => {
    const { answer, exactMatch, f1 } = (scored ?? {}) as Partial<Record<string, unknown>>;
    return typeof answer === 'string' && typeof exactMatch === 'boolean' && typeof f1 === 'number';
  };
  return (
    typeof question === 'string' &&
    typeof expected === 'string' &&
    [base, tuned].every((scored) => scored === undefined || isScored(scored))
  );
}
