/** Two runs beside each other: what they are called, and what they answered to the same questions. */
import type { ComparedQuestion, KeptEvaluation } from '../../../core/answers';
import { plural } from '../../../core/format';
import type { RunDetail } from '../../../core/library';
import { countScores, formatExact } from './scores';

/** A question with what each of the two runs has of it: nothing where it was not asked that. */
export interface MatchedQuestion {
  readonly question: string;
  readonly rows: readonly [ComparedQuestion | undefined, ComparedQuestion | undefined];
}

export type Evaluations = readonly [KeptEvaluation | undefined, KeptEvaluation | undefined];

/** Their names, told apart where they have the same. */
export function namePair([one, other]: readonly [RunDetail, RunDetail]): [string, string] {
  const names: [string, string] = [one.record.name, other.record.name];
  return names[0] === names[1] ? [`${names[0]} (1)`, `${names[1]} (2)`] : names;
}

/**
 * Puts questions of the same text together, however often one was asked: those that both were asked first, and of these
 * those that both have never seen.
 */
export function matchQuestions([one, other]: Evaluations): MatchedQuestion[] {
  const left = new Map<string, ComparedQuestion[]>();
  for (const row of other?.rows ?? []) left.set(row.question, [...(left.get(row.question) ?? []), row]);
  const matched: MatchedQuestion[] = (one?.rows ?? []).map((row) => {
    return { question: row.question, rows: [row, left.get(row.question)?.shift()] };
  });
  for (const rows of left.values())
    for (const row of rows) matched.push({ question: row.question, rows: [undefined, row] });
  const rank = ({ rows: [a, b] }: MatchedQuestion) => (!a || !b ? 2 : a.heldOut && b.heldOut ? 0 : 1);
  return matched.sort((a, b) => rank(a) - rank(b)); // which keeps the order of those that rank the same
}

/**
 * Where the two were not asked the same of what they never saw: their scores on what is common to both, which alone can
 * be held against each other.
 */
export function describeCommon(evaluations: Evaluations, names: readonly [string, string]): string | undefined {
  if (!evaluations[0] || !evaluations[1]) return undefined;
  const unseen = evaluations.map((evaluation) => evaluation?.rows.filter(({ heldOut }) => heldOut).length ?? 0);
  if (unseen[0] === 0 && unseen[1] === 0) return undefined;
  const common = matchQuestions(evaluations).flatMap(({ rows: [a, b] }) => (a?.heldOut && b?.heldOut ? [[a, b]] : []));
  if (common.length === unseen[0] && common.length === unseen[1]) return undefined;
  if (common.length === 0)
    return 'There is no question that neither has seen: their scores are of different questions.';
  const [one, other] = [0, 1].map((at) =>
    formatExact(
      countScores(
        common.map((rows) => rows[at]!),
        'tuned',
        true,
      ),
    ),
  );
  return `They were not asked the same. Of the ${plural(common.length, 'question')} that neither has seen, ${names[0]} answers ${one} exactly and ${names[1]} ${other}.`;
}
