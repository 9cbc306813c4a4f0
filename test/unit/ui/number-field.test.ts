import { expect, it } from 'vitest';
import { readNumber } from '../../../src/ui/components/number-field';

it.each([
  ['7', { least: 1, whole: true }, 7],
  [' 0.5 ', { least: 0, most: 2 }, 0.5],
  ['', { least: 1, whole: true }, 'Seed is empty: give a whole number of 1 or more.'],
  ['2.5', { least: 1, whole: true }, "Seed can't be 2.5: give a whole number of 1 or more."],
  ['3', { least: 0, most: 2 }, "Seed can't be 3: give a number from 0 to 2."],
  ['many', { least: 1, most: 4096, whole: true }, "Seed can't be many: give a whole number from 1 to 4,096."],
  ['Infinity', { least: 1 }, "Seed can't be Infinity: give a number of 1 or more."],
])('%j is read as a number, or refused with what to give', (typed, range, expected) =>
  expect(readNumber('Seed', typed, range)).toBe(expected),
);
