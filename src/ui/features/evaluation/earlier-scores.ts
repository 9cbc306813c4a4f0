/** Scores as earlier versions of the page kept them, in small settings: they move to the browser's database. */
import type { ComparedQuestion, KeptEvaluation } from '../../../core/answers';
import { loadSetting, removeSetting } from '../../persisted';

type Kept = { readonly rows: readonly Omit<ComparedQuestion, 'heldOut'>[]; readonly total: number };

/** What a run answered; only questions that it was taught were asked then. */
export function earlierScores(runId: string): KeptEvaluation | undefined {
  const kept = loadSetting<Kept | null>(settingOf(runId), null, isKept);
  return kept ? { total: kept.total, step: 0, rows: kept.rows.map((row) => ({ ...row, heldOut: false })) } : undefined;
}

export function dropEarlierScores(runId: string): void {
  removeSetting(settingOf(runId));
}

function settingOf(runId: string): string {
  return `scores-${runId}`;
}

function isKept(value: unknown): value is Kept {
  const { rows, total } = (value ?? {}) as Partial<Record<string, unknown>>;
  return Array.isArray(rows) && rows.every(isQuestion) && Number.isSafeInteger(total) && Number(total) >= 0;
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
