/** What two runs answered, held against each other. */
import { expect, test } from 'vitest';
import type { ComparedQuestion, KeptEvaluation } from '../../../src/core/answers';
import { pairRow } from '../../../src/ui/features/evaluation/answer-table';
import { describeCommon, matchQuestions } from '../../../src/ui/features/evaluation/pair';
import { describeOutdated, pickExample } from '../../../src/ui/features/evaluation/scores';

function row(question: string, heldOut: boolean, exactMatch = true): ComparedQuestion {
  const scored = { answer: `${question}!`, exactMatch, f1: exactMatch ? 1 : 0 };
  return { question, expected: `${question}!`, heldOut, base: { ...scored, exactMatch: false }, tuned: scored };
}

const evaluation = (...rows: ComparedQuestion[]): KeptEvaluation => ({ total: rows.length, step: 4, rows });

test('questions of the same text are a row each, those of both first, and what one lacks is said', () => {
  const one = evaluation(row('taught', false), row('twice', false), row('twice', false), row('mine', true));
  const other = evaluation(row('yours', true), row('twice', false), row('taught', true));
  const matched = matchQuestions([one, other]);
  expect(matched.map(({ question, rows }) => [question, ...rows.map((found) => found !== undefined)])).toEqual([
    ['taught', true, true],
    ['twice', true, true],
    ['twice', true, false],
    ['mine', true, false],
    ['yours', false, true],
  ]);
  const rows = matched.map((question) => pairRow(question, ['A', 'B'], [one, other]));
  expect(rows[0]).toMatchObject({ kind: 'Taught to A, Never seen by B', isUnseen: false, expected: 'taught!' });
  expect(rows[3]).toMatchObject({ kind: 'Never seen', isUnseen: true });
  expect(rows[3]!.answers).toEqual([expect.objectContaining({ answer: 'mine!' }), { missing: 'Not asked this.' }]);
  const [alone] = matchQuestions([one, undefined]);
  expect(pairRow(alone!, ['A', 'B'], [one, undefined]).answers[1]).toEqual({ missing: 'Not evaluated.' });
  expect(matchQuestions([undefined, undefined])).toEqual([]);
});

test('scores of different questions are said to be such, with those of what is common', () => {
  const one = evaluation(row('a', true), row('b', true, false), row('c', true));
  const other = evaluation(row('a', true, false), row('b', true, false), row('c', false));
  expect(describeCommon([one, other], ['A', 'B'])).toBe(
    'They were not asked the same. Of the 2 questions that neither has seen, A answers 1/2 exactly and B 0/2.',
  );
  expect(describeCommon([one, evaluation(row('c', false))], ['A', 'B'])).toContain('no question that neither has seen');
  expect(describeCommon([one, one], ['A', 'B'])).toBeUndefined();
  expect(describeCommon([one, undefined], ['A', 'B'])).toBeUndefined();
});

test('a question that was never seen stands for the others, and scores of an earlier step are said to be such', () => {
  const unanswered: ComparedQuestion = { question: 'q', expected: 'e', heldOut: true };
  expect(pickExample([row('a', false), unanswered, row('b', true, false)])?.question).toBe('b');
  expect(pickExample([unanswered, row('a', false)])?.question).toBe('a');
  expect(pickExample([unanswered])).toBeUndefined();
  expect(describeOutdated(evaluation(), 4)).toBeUndefined();
  expect(describeOutdated(evaluation(), 9)).toContain('at step 4; it has learned until step 9');
});
