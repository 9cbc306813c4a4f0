/** Both models on the questions that were trained on: answers side by side, and how many are right. */
import { proxy } from 'comlink';
import type { PlainError } from '../../core/events';
import type { CompareRow, ModelRef, Score, Voice } from '../../protocol';
import { isCancelled, toPlainError } from '../client/errors';
import type { WorkerClient } from '../client/worker-client';

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
  running = $state(false);
  /** Whether the table holds every answer that was asked for. */
  complete = $state(false);
  error = $state.raw<PlainError>();

  private controller: AbortController | undefined;

  constructor(private readonly client: WorkerClient) {}

  async start(model: ModelRef, runId: string, limit: number, maxNewTokens: number): Promise<void> {
    if (this.running) return;
    this.clear();
    this.running = true;
    const controller = new AbortController();
    this.controller = controller;
    const request = { model, runId, limit, maxNewTokens };
    const onRow = (row: CompareRow) => {
      if (!controller.signal.aborted) this.take(row);
    };
    try {
      await this.client.job(controller.signal, (worker, job) => worker.compare(job, request, proxy(onRow)));
      this.complete = true;
    } catch (error) {
      if (!isCancelled(error)) this.error = toPlainError(error);
    } finally {
      this.running = false;
    }
  }

  cancel(): void {
    this.controller?.abort();
  }

  clear(): void {
    this.cancel();
    this.rows = [];
    this.total = 0;
    this.complete = false;
    this.error = undefined;
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

  private take({ index, total, question, expected, voice, answer, score }: CompareRow): void {
    this.total = total;
    const rows = [...this.rows];
    rows[index] = { ...(rows[index] ?? { question, expected }), [voice]: { answer, ...score } };
    this.rows = rows;
  }
}
