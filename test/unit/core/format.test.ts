/** Numbers as messages show them. */
import { expect, test } from 'vitest';
import { formatCount, plural, quote, shorten } from '../../../src/core/format';

test('a count has its digits in threes, as the language has them', () => {
  const counts = [0, -0, 7, 999, 1000, 12_345, 999_999, 1_000_000, -1, -1234, Number.MAX_SAFE_INTEGER, 1e21, 0.5];
  for (const n of [...counts, 1234.5678, NaN, Infinity]) {
    expect(formatCount(n)).toBe(Object.is(n, -0) ? '0' : n.toLocaleString('en-US'));
  }
  expect([plural(1, 'row'), plural(2000, 'row')]).toEqual(['1 row', '2,000 rows']);
});

test('what is cut off ends before a character of two units, never in it', () => {
  expect([shorten('abc', 3), shorten('abcd', 3)]).toEqual(['abc', 'abc…']);
  for (const most of [4, 5]) expect(shorten('ab😀😀', most)).toBe('ab😀…');
  for (let lead = 0; lead < 4; lead++)
    expect(quote('a'.repeat(lead) + '😀'.repeat(40))).not.toMatch(/[\ud800-\udfff]/u);
});
