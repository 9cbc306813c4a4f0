/** Both models on the questions of a run's data: answers side by side, and how many are right. */
import type { ComparedQuestion, KeptEvaluation } from '../../../core/answers';
import { plainError, type PlainError } from '../../../core/errors';
import type { CompareRow } from '../../../protocol/evaluation';
import type { ModelRef } from '../../../protocol/models';
import { Job } from '../../client/job.svelte';
import type { Workers } from '../../client/workers';
import { WriteAhead } from '../../client/write-ahead';
import { dropEarlierScores, earlierScores } from './earlier-scores';

/** Questions that are asked, of those that were taught and of those never seen. */
export const QUESTIONS = 24;
/** Tokens of an answer at most. */
const LENGTH = 64;

/** A run whose questions are asked, and how. */
export interface ComparedRun {
  readonly id: string;
  readonly name: string;
  readonly model: ModelRef;
  /** Steps that it has learned. */
  readonly step: number;
}

export class CompareState {
  /** The run that is shown. */
  runId = $state<string>();
  /** What it answered, or as much of it as was asked for. */
  evaluation = $state.raw<KeptEvaluation>();
  /** The run whose kept answers were read last. */
  private readOf = $state<string>();
  /** The run that is being asked, or was asked last. */
  asked = $state<string>();
  /** What it has answered by now. */
  answered = $state.raw<KeptEvaluation>();
  /** Why what is answered can't be kept, or what was answered can't be read. */
  storeError = $state.raw<PlainError>();

  private readonly comparing: Job<'evaluation.compare'>;
  private onRow: (row: CompareRow) => void = () => undefined;

  constructor(private readonly workers: Workers) {
    this.comparing = new Job(workers, 'evaluation.compare', (event) => {
      if (event.kind === 'row' && this.comparing.state !== 'stopping') this.onRow(event.row);
    });
  }

  get rows(): readonly ComparedQuestion[] {
    return this.evaluation?.rows ?? [];
  }

  /** Whether there is an answer to every question that was to be asked. */
  get complete(): boolean {
    return this.evaluation !== undefined && isComplete(this.evaluation);
  }

  /** Some run is being asked. */
  get busy(): boolean {
    return this.comparing.isRunning;
  }

  /** What was asked for waits for the GPU. */
  get waits(): boolean {
    return this.comparing.state === 'queued';
  }

  /** The run that is shown is being asked. */
  get running(): boolean {
    return this.busy && this.asked === this.runId;
  }

  get error(): PlainError | undefined {
    return this.errorOf(this.runId);
  }

  /** Why a run that was asked did not answer everything. */
  errorOf(runId: string | undefined): PlainError | undefined {
    return this.asked === runId ? this.comparing.error : undefined;
  }

  /** What was found out about the model while it was opened, a sentence each. */
  get notices(): readonly string[] {
    return this.asked === this.runId ? this.comparing.notices : [];
  }

  /** Asks a run; what it answered before stays until there is a first answer. Returns whether it has answered everything. */
  async start(run: ComparedRun, limit = QUESTIONS): Promise<boolean> {
    if (this.busy) return false;
    const { id: runId, model, step } = run;
    this.asked = runId;
    this.answered = undefined;
    this.storeError = undefined;
    let evaluation: KeptEvaluation | undefined;
    const rows: ComparedQuestion[] = [];
    const writer = new WriteAhead<ComparedQuestion>(
      (index, row) => this.keepRow(runId, index, row),
      (index, row) => {
        evaluation = { ...evaluation!, rows: withRow(evaluation!.rows, index, row) };
        this.answered = evaluation;
        if (this.runId === runId) this.evaluation = evaluation;
      },
      (error) => (this.storeError = plainError(error)),
    );
    let begun: Promise<unknown> | undefined;
    this.onRow = ({ index, total, question, expected, heldOut, voice, answer, score }) => {
      evaluation ??= { total, step, rows: [] };
      begun ??= this.begin(runId, { total, step });
      rows[index] = { ...(rows[index] ?? { question, expected, heldOut }), [voice]: { answer, ...score } };
      const row = rows[index];
      void begun.then(() => writer.put(index, row));
    };
    const result = await this.comparing.run({ model, runId, limit, maxNewTokens: LENGTH }, `Evaluation of ${run.name}`);
    await begun;
    await writer.settled();
    return result !== undefined;
  }

  /** Turns to a run; what its answers were is kept with it. */
  meet(runId: string): void {
    if (this.runId === runId) return;
    this.runId = runId;
    this.evaluation = undefined;
    this.storeError = undefined;
    this.readOf = undefined;
    this.read(runId)
      .then((kept) => {
        if (this.runId === runId) this.evaluation ??= kept;
      })
      .catch((error: unknown) => (this.storeError = plainError(error)))
      .finally(() => {
        if (this.runId === runId) this.readOf = runId;
      });
  }

  /** Whether it is known what this run has answered: until then nothing is shown that would move. */
  knows(runId: string): boolean {
    return this.runId === runId && this.readOf === runId;
  }

  /** What is kept of a run's answers. */
  async read(runId: string): Promise<KeptEvaluation | undefined> {
    const kept = await this.workers.gpu.call((worker) => worker.evaluation.read(runId));
    return kept ?? (await this.adopt(runId));
  }

  /** Leaves a run that is deleted. */
  forget(runId: string): void {
    dropEarlierScores(runId);
    if (this.asked === runId) this.comparing.clear();
    if (this.runId !== runId) return;
    this.runId = undefined;
    this.evaluation = undefined;
  }

  cancel(): void {
    this.comparing.cancel();
  }

  private begin(runId: string, asked: Pick<KeptEvaluation, 'total' | 'step'>): Promise<void> {
    return this.workers.gpu
      .call((worker) => worker.evaluation.begin(runId, asked))
      .catch((error: unknown) => void (this.storeError = plainError(error)));
  }

  private keepRow(runId: string, index: number, row: ComparedQuestion): Promise<void> {
    return this.workers.gpu.call((worker) => worker.evaluation.keepRow(runId, index, row));
  }

  /** Moves what an earlier version of the page kept of a run to where it is kept now. */
  private async adopt(runId: string): Promise<KeptEvaluation | undefined> {
    const earlier = earlierScores(runId);
    if (!earlier) return undefined;
    await this.workers.gpu.call((worker) =>
      worker.evaluation.begin(runId, { total: earlier.total, step: earlier.step }),
    );
    for (const [index, row] of earlier.rows.entries()) await this.keepRow(runId, index, row);
    dropEarlierScores(runId);
    return earlier;
  }
}

/** Whether every question that was to be asked is answered by both. */
export function isComplete({ rows, total }: KeptEvaluation): boolean {
  return rows.length === total && rows.every(({ base, tuned }) => base && tuned);
}

function withRow(rows: readonly ComparedQuestion[], index: number, row: ComparedQuestion): ComparedQuestion[] {
  const changed = [...rows];
  changed[index] = row;
  return changed;
}
