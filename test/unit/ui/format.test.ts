import { describe, expect, test } from 'vitest';
import {
  formatDuration,
  formatLoss,
  formatMillions,
  formatPercent,
  formatRate,
  formatRoughly,
  formatSize,
} from '../../../src/ui/format';
import { fileName } from '../../../src/ui/client/files';

describe('numbers on the page', () => {
  test.each([
    [0, '0 bytes'],
    [1, '1 byte'],
    [1023, '1023 bytes'],
    [1024, '1.0 KiB'],
    [1536, '1.5 KiB'],
    [150 * 2 ** 20, '150 MiB'],
    [2 ** 40, '1.0 TiB'],
    [2 ** 50, '1024 TiB'],
  ])('%d bytes are %s', (bytes, text) => expect(formatSize(bytes)).toBe(text));

  test.each([
    [9999, '9,999'],
    [999_885_952, '1B'],
    [54_300, '54.3K'],
    [2_166_000, '2.2M'],
    [135_000_000, '135M'],
    [1_000_000_000, '1B'],
    [1_240_000_000, '1.2B'],
  ])('%d parameters are %s', (count, text) => expect(formatMillions(count)).toBe(text));

  test.each([
    [0.4, '0 s'],
    [59.6, '1 min 00 s'],
    [95, '1 min 35 s'],
    [3660, '1 h 01 min'],
    [Infinity, '–'],
    [NaN, '–'],
    [-1, '0 s'],
  ])('%d seconds are %s', (seconds, text) => expect(formatDuration(seconds)).toBe(text));

  test.each([
    [1, '5 s'],
    [22, '20 s'],
    [58, '1 min'],
    [200, '3 min'],
    [8000, '2 h'],
  ])('a guess of %d seconds is %s', (seconds, text) => expect(formatRoughly(seconds)).toBe(text));

  test('losses keep four digits, and what is no number is a dash', () => {
    expect([0.01234, 4.6984, 12.345, 123.45, 12345].map(formatLoss)).toEqual([
      '0.012',
      '4.698',
      '12.35',
      '123.5',
      '1.23e+4',
    ]);
    expect([undefined, NaN, Infinity].map(formatLoss)).toEqual(['–', '–', '–']);
  });

  test('shares and rates', () => {
    expect([0, 0.9134, 1].map(formatPercent)).toEqual(['0 %', '91.3 %', '100 %']);
    expect([4e-3, 0, undefined].map(formatRate)).toEqual(['4.00e-3', '0', '–']);
  });
});

test.each([
  ['starter on title-fees, first 24', 'starter-on-title-fees-first-24'],
  ['../../etc/passwd', 'etc-passwd'],
  ['a/b\\c:d*e?"<>|', 'a-b-c-d-e'],
  ['Kōrero 1.5', 'Kōrero-1.5'],
  ['...', 'adapter'],
])('the file name of %j is %j', (name, expected) => expect(fileName(name)).toBe(expected));
