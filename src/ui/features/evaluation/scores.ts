/** How many answers are right: of rows that were trained, and of rows that the model never saw, apart. */
import type { ComparedQuestion, Voice } from '../../../core/answers';

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
