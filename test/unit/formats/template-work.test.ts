/**
 * Everything that a template can call or write, on large values of each kind: whatever takes time or memory must use up
 * fuel for it. Each is done again and again on a small share of the fuel, which must be gone before the time is.
 */
import { describe, expect, it } from 'vitest';
import { getItem, getMethod, slice } from '../../../src/formats/jinja/access';
import { operate } from '../../../src/formats/jinja/arithmetic';
import type { Operator } from '../../../src/formats/jinja/ast';
import { compareValues, contains, equals } from '../../../src/formats/jinja/compare';
import { JinjaError } from '../../../src/formats/jinja/errors';
import { FILTER_NAMES, findFilter, findTest, TEST_NAMES } from '../../../src/formats/jinja/filters';
import { withFuel } from '../../../src/formats/jinja/fuel';
import { DICT_METHODS, FLOAT_METHODS, INT_METHODS, LIST_METHODS } from '../../../src/formats/jinja/methods/others';
import { STRING_METHODS } from '../../../src/formats/jinja/methods/strings';
import { toRepr, toText } from '../../../src/formats/jinja/printing';
import { strftime } from '../../../src/formats/jinja/strftime';
import {
  Dict,
  hashKey,
  isTrue,
  listOf,
  Markup,
  NO_NAMED,
  Range,
  Stream,
  Tuple,
  View,
  type Value,
} from '../../../src/formats/jinja/values';

/**
 * A part of the fuel, some 2 ms of work; what isn't counted takes a second until the steps are used up, each time that
 * it is tried. (Collecting garbage counts to the processor's time too, now and then for long.)
 */
const SHARE = 1 / 1000;
const MOST_MILLISECONDS = 700;

const SIZE = 200_000;
const numbers = Array.from({ length: SIZE / 2 }, (_, i) => i);
const VALUES: Readonly<Record<string, () => Value>> = {
  words: () => 'ab Cd '.repeat(SIZE / 6),
  letters: () => 'a'.repeat(SIZE),
  capitals: () => 'É'.repeat(SIZE),
  faces: () => '😀'.repeat(SIZE / 2),
  lines: () => '\n'.repeat(SIZE),
  percents: () => '%%'.repeat(SIZE / 2),
  dates: () => '%Y'.repeat(SIZE / 2),
  braces: () => '{}{{'.repeat(SIZE / 4),
  tags: () => '<a>&amp;"'.repeat(SIZE / 9),
  dashes: () => 'a-'.repeat(SIZE / 2),
  digits: () => '7'.repeat(SIZE),
  markup: () => new Markup('<b> x'.repeat(SIZE / 5)),
  list: () => numbers,
  texts: () => numbers.map((i) => `text ${i % 1000}`),
  pairs: () => numbers.map((i): Value => [i, 'x']),
  tuple: () => new Tuple(numbers),
  dict: () => Object.fromEntries(numbers.map((i) => [`key ${i}`, i])),
  'dict of its own': () => new Dict(numbers.map((i) => [i, 'x'])),
  range: () => new Range(0, numbers.length, 1),
  view: () => new View('dict_keys', numbers),
  int: () => 3n ** 60_000n,
  float: () => 2 ** -1000,
};
const ARGUMENTS: readonly Value[] = ['a', 'b'.repeat(5000), 2, [1, 2]];

const made = new Map<string, Value>();
function valueOf(kind: string): Value {
  const value = made.get(kind) ?? VALUES[kind]!();
  made.set(kind, value);
  return value;
}

const TEXTS = Object.keys(VALUES).filter((kind) => typeof valueOf(kind) === 'string' || kind === 'markup');

const FEW = ['words', 'texts', 'dict'];

/** Goes through what is gone through when it is asked for. */
function useUp(value: Value): void {
  if (value instanceof Stream) listOf(value);
}

/** Does it until the fuel is gone or it fails, and tells for how long, in milliseconds of the processor. */
function exhaust(action: () => Value): number {
  const start = process.cpuUsage();
  const taken = () => process.cpuUsage(start).user / 1000;
  try {
    withFuel(() => {
      while (taken() < MOST_MILLISECONDS) useUp(action());
    }, SHARE);
  } catch (error) {
    if (!(error instanceof JinjaError)) throw error;
  }
  return taken();
}

function check(
  name: string,
  action: (value: Value, argument: Value) => Value,
  kinds = Object.keys(VALUES),
  values = ARGUMENTS,
): void {
  for (const kind of kinds) {
    for (const [i, argument] of values.entries()) {
      const value = valueOf(kind);
      const isCounted = () => exhaust(() => action(value, argument)) < MOST_MILLISECONDS;
      expect(isCounted() || isCounted(), `${name} of ${kind} with argument ${i} uses up its fuel`).toBe(true);
    }
  }
}

const given = (count: number, argument: Value) => ({
  positional: Array<Value>(count).fill(argument),
  named: NO_NAMED,
});

describe('what a template does on large values costs fuel', () => {
  it.each(FILTER_NAMES)('filter %s', (name) => {
    const filter = findFilter(name)!;
    check(name, (value) => filter(value, given(0, null)), undefined, [null]);
    check(name, (value, argument) => filter(value, given(1, argument)), FEW);
    check(name, (value, argument) => filter(value, given(2, argument)), ['words']);
  });

  it.each(TEST_NAMES)('test %s', (name) => {
    const test = findTest(name)!;
    check(name, (value) => test(value, given(0, null)), undefined, [null]);
    check(name, (value, argument) => test(value, given(1, argument)), FEW);
    check(name, (value) => test(value, given(1, value)), undefined, [null]);
  });

  it.each([...STRING_METHODS.values()])('method $name of str', ({ name, required }) => {
    const least = required - 1;
    check(
      name,
      (value, argument) => getMethod(value, name)!(given(least, argument)),
      TEXTS,
      least ? ARGUMENTS : [null],
    );
    check(name, (value, argument) => getMethod(value, name)!(given(required, argument)), ['words']);
    if (least > 0) check(name, (value) => getMethod(value, name)!(given(least, value)), TEXTS, [null]);
  });

  it.each(['format', 'format_map'])('method %s of str', (name) => {
    check(name, (value, argument) => getMethod(value, name)!(given(1, argument)), TEXTS);
  });

  it.each([
    ...[...LIST_METHODS.values()].map((method) => ({ ...method, kinds: ['list', 'texts', 'tuple', 'range'] })),
    ...[...DICT_METHODS.values()].map((method) => ({ ...method, kinds: ['dict', 'dict of its own'] })),
    ...[...INT_METHODS.values()].map((method) => ({ ...method, kinds: ['int'] })),
    ...[...FLOAT_METHODS.values()].map((method) => ({ ...method, kinds: ['float'] })),
  ])('method $name of $kinds', ({ name, required, kinds }) => {
    for (const kind of kinds) {
      check(name, (value, argument) => getMethod(value, name)?.(given(required - 1, argument)) ?? fail(), [kind]);
    }
  });

  it.each(['+', '-', '*', '/', '//', '%', '**'] satisfies Operator[])('operator %s', (operator) => {
    check(operator, (value, argument) => countStep(operate(operator, value, argument)));
    check(operator, (value) => countStep(operate(operator, value, value)), undefined, [null]);
  });

  it.each([
    ['in', (value: Value, argument: Value) => contains(value, argument)],
    ['==', (value: Value) => equals(value, sameAgain(value))],
    ['<', (value: Value) => compareValues(value, sameAgain(value))],
    ['< of a joined text', (value: Value) => compareValues(operate('+', value, 'x'), 'b')],
    ['a joined text as a key', (value: Value) => getItem({}, operate('+', value, 'x'))],
    ['[i]', (value: Value) => getItem(value, 77_777)],
    ['[-i]', (value: Value) => getItem(value, -77_777)],
    ['[::-1]', (value: Value) => slice(value, null, null, -1)],
    ['[::3]', (value: Value) => slice(value, null, null, 3)],
    ['[1:]', (value: Value) => slice(value, 1, null, null)],
    ['str()', (value: Value) => toText(value)],
    ['repr()', (value: Value) => toRepr(value)],
    ['hash()', (value: Value) => (hashKey(value), null)],
    ['bool()', (value: Value) => isTrue(value) && operate('+', 1, 1)],
    ['strftime', (value: Value) => strftime(new Date(0), toText(value))],
  ] as const)('%s', (name, action) => {
    check(name, (value, argument) => countStep(action(value, argument)), undefined, name === 'in' ? ARGUMENTS : [null]);
  });
});

/** What stands for the statement around an expression. */
function countStep(value: Value): Value {
  findTest('none')!(null, given(0, null));
  return value;
}

function sameAgain(value: Value): Value {
  return typeof value === 'string' ? ` ${value}`.slice(1) : Array.isArray(value) ? [...value] : value;
}

function fail(): never {
  throw new JinjaError('no such method');
}
