/** How many answers are right: of rows that were trained, and of rows that the model never saw, apart. */
import type { ComparedQuestion, KeptEvaluation, Voice } from '../../../core/answers';

export interface Totals {
  /** Questions that were answered. */
  readonly count: number;
  /** Of these, answers that match exactly. */
  readonly exact: number;
  /** Mean token F1, 0 to 1. */
  readonly f1: number;
}

/** Rows that were held out are "never seen", and all others "taught". */
export function countScores(rows: readonly ComparedQuestion[], voice: Voice, heldOut: boolean): Totals {
  const scored = rows.filter((row) => row.heldOut === heldOut).flatMap((row) => row[voice] ?? []);
  const count = scored.length;
  return {
    count,
    exact: scored.filter(({ exactMatch }) => exactMatch).length,
    f1: scored.reduce((sum, { f1 }) => sum + f1, 0) / Math.max(1, count),
  };
}

/** `0/4`; a dash where nothing was asked. */
export function formatExact({ exact, count }: Totals): string {
  return count > 0 ? `${exact}/${count}` : '–';
}

/** Where a run has learned more since it was asked: a sentence that says so. `step` is what it has learned by now. */
export function describeOutdated(evaluation: KeptEvaluation | undefined, step: number): string | undefined {
  const askedAt = evaluation?.step ?? 0; // 0: an earlier version of the page did not know
  if (askedAt === 0 || askedAt === step) return undefined;
  return `These are its answers at step ${askedAt}; it has learned until step ${step} since. Evaluate it again to hear what it knows now.`;
}

/** The question that stands for the others: the first that was never seen and that both have answered, else that was taught. */
export function pickExample(rows: readonly ComparedQuestion[]): ComparedQuestion | undefined {
  const answered = rows.filter(({ base, tuned }) => base && tuned);
  return answered.find(({ heldOut }) => heldOut) ?? answered[0];
}
