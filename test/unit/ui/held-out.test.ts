import { describe, expect, it } from 'vitest';
import { trainEvalSplit } from '../../../src/data/batches';
import { countScores, formatExact } from '../../../src/ui/features/evaluation/scores';
import { countHeldOut, proposeHeldOut } from '../../../src/ui/features/runs/held-out';

describe('what is proposed to hold out', () => {
  it.each([
    [9, undefined],
    [10, { valSetSize: 0.2, rows: 2 }],
    [40, { valSetSize: 0.2, rows: 8 }],
    [111, { valSetSize: 0.1, rows: 12 }],
    [20_000, { valSetSize: 200, rows: 200 }],
  ])('of %i rows', (rows, proposal) => expect(proposeHeldOut(rows)).toEqual(proposal));

  it('is as many rows as training holds out', () => {
    for (const rows of [10, 11, 37, 49, 50, 1999, 20_000]) {
      const { valSetSize, rows: heldOut } = proposeHeldOut(rows)!;
      const all = Array.from({ length: rows }, (_, i) => i);
      expect(heldOut).toBe(trainEvalSplit(all, valSetSize, 1).eval.length);
      expect(countHeldOut(rows, valSetSize)).toBe(heldOut);
    }
  });
});

it('answers to rows that were taught and that were never seen are counted apart', () => {
  const right = { answer: 'a', exactMatch: true, f1: 1 };
  const wrong = { answer: 'b', exactMatch: false, f1: 0.5 };
  const rows = [
    { question: '1', expected: 'a', heldOut: true, base: wrong, tuned: wrong },
    { question: '2', expected: 'a', heldOut: true, base: wrong },
    { question: '3', expected: 'a', heldOut: false, base: wrong, tuned: right },
  ];
  expect(countScores(rows, 'tuned', true)).toEqual({ count: 1, exact: 0, f1: 0.5 });
  expect(countScores(rows, 'base', true)).toEqual({ count: 2, exact: 0, f1: 0.5 });
  expect(countScores(rows, 'tuned', false)).toEqual({ count: 1, exact: 1, f1: 1 });
  expect(formatExact(countScores(rows, 'base', true))).toBe('0/2');
  expect(formatExact(countScores([], 'base', true))).toBe('–');
});
