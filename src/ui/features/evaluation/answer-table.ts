/** Questions with two answers to each, as a table shows them. */
import type { ComparedQuestion, Score } from '../../../core/answers';
import type { Evaluations, MatchedQuestion } from './pair';

export interface AnswerRow {
  readonly question: string;
  /** Whether it was taught; of two runs it may be otherwise for each. */
  readonly kind: string;
  readonly isUnseen: boolean;
  readonly expected: string;
  /** An answer with its score, or why there is none. */
  readonly answers: readonly [Cell, Cell];
}

type Cell = (Score & { readonly answer: string }) | { readonly missing: string };

/** The base model and the tuned one. */
export function voicesRow({ question, expected, heldOut, base, tuned }: ComparedQuestion): AnswerRow {
  const waits = { missing: '…' };
  return { question, kind: kindOf(heldOut), isUnseen: heldOut, expected, answers: [base ?? waits, tuned ?? waits] };
}

/** Two runs, of each the tuned model. */
export function pairRow(
  { question, rows: [one, other] }: MatchedQuestion,
  names: readonly [string, string],
  evaluations: Evaluations,
): AnswerRow {
  const cell = (row: ComparedQuestion | undefined, at: 0 | 1): Cell => {
    if (row) return row.tuned ?? { missing: 'No answer yet: the evaluation was stopped.' };
    return { missing: evaluations[at] ? 'Not asked this.' : 'Not evaluated.' };
  };
  const isSame = !one || !other || one.heldOut === other.heldOut;
  const kinds = [one, other].flatMap((row, at) => (row ? [`${kindOf(row.heldOut)} by ${names[at]}`] : []));
  const expected = [...new Set([one, other].flatMap((row) => row?.expected ?? []))];
  return {
    question,
    kind: isSame ? kindOf((one ?? other)!.heldOut) : kinds.join(', ').replaceAll('Taught by', 'Taught to'),
    isUnseen: isSame && (one ?? other)!.heldOut,
    expected: expected.join('\nor, in the data of the second: '),
    answers: [cell(one, 0), cell(other, 1)],
  };
}

function kindOf(heldOut: boolean): string {
  return heldOut ? 'Never seen' : 'Taught';
}
