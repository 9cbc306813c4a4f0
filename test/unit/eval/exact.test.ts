import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { exactMatch, normalizeAnswer, tokenF1 } from '../../../src/eval/exact';

describe('normalizeAnswer', () => {
  test.each([
    ['The Registrar-General, of Land.', 'registrargeneral of land'],
    ['  An  apple\n a day ', 'apple day'],
    ['theatre and anthem', 'theatre and anthem'],
    ['“Yes” — it’s free…', 'yes its free'],
    ['the', ''],
    ['Kōrero a naïa', 'kōrero naïa'],
  ])('%j reads as %j', (text, expected) => {
    expect(normalizeAnswer(text)).toBe(expected);
  });

  test('a second pass changes nothing', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const once = normalizeAnswer(text);
        expect(normalizeAnswer(once)).toBe(once);
      }),
    );
  });
});

test('exactMatch forgives case, articles and punctuation, and nothing else', () => {
  expect(exactMatch('Within 21 working days.', 'within the 21 working days')).toBe(true);
  expect(exactMatch('Within 20 working days.', 'within 21 working days')).toBe(false);
  expect(exactMatch('', 'within 21 working days')).toBe(false);
});

describe('tokenF1', () => {
  test('counts repeated words as often as both have them', () => {
    // given: no no no; wanted: no no yes. shared 2, precision 2/3, recall 2/3.
    expect(tokenF1('no no no', 'no no yes')).toBeCloseTo(2 / 3, 12);
  });

  test('is the harmonic mean of precision and recall', () => {
    // 2 of 4 given words are right (precision 1/2), 2 of 3 wanted ones are found (recall 2/3).
    expect(tokenF1('fee is waived today', 'fee waived now')).toBeCloseTo((2 * (1 / 2) * (2 / 3)) / (1 / 2 + 2 / 3), 12);
  });

  test('is 1 for a match, 0 without a shared word, and fair to empty answers', () => {
    expect(tokenF1('The fee.', 'fee')).toBe(1);
    expect(tokenF1('refund', 'waiver')).toBe(0);
    expect(tokenF1('', '')).toBe(1);
    expect(tokenF1('', 'fee')).toBe(0);
  });

  test('is symmetric', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (a, b) => {
        expect(tokenF1(a, b)).toBe(tokenF1(b, a));
      }),
    );
  });
});
