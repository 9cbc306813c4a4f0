/** Both models on the questions that were trained on: answers side by side, and how many are right. */
import type { PlainError } from '../../../core/errors';
import type { Voice } from '../../../protocol/chat';
import type { CompareRow, Score } from '../../../protocol/evaluation';
import type { ModelRef } from '../../../protocol/models';
import { Job } from '../../client/job.svelte';
import type { Workers } from '../../client/workers';

export interface ComparedQuestion {
  question: string;
  expected: string;
  base?: Scored;
  tuned?: Scored;
}

type Scored = Score & { answer: string };

/** Shares of exact matches and mean token F1 of the answers so far, each 0 to 1. */
export interface Totals {
  count: number;
  exactMatch: number;
  f1: number;
}

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
    this.complete = (await this.comparing.run({ model, runId, limit, maxNewTokens })) !== undefined;
  }

  /** Drops what another run has answered. */
  meet(runId: string): void {
    if (this.runId !== runId) this.clear();
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

  totals(voice: Voice): Totals {
    const scored = this.rows.flatMap((row) => row[voice] ?? []);
    const count = Math.max(1, scored.length);
    return {
      count: scored.length,
      exactMatch: scored.filter(({ exactMatch }) => exactMatch).length / count,
      f1: scored.reduce((sum, { f1 }) => sum + f1, 0) / count,
    };
  }

  private add({ index, total, question, expected, voice, answer, score }: CompareRow): void {
    this.total = total;
    const rows = [...this.rows];
    rows[index] = { ...(rows[index] ?? { question, expected }), [voice]: { answer, ...score } };
    this.rows = rows;
  }
}
