/** Python's `==`, `<` and `in`. */
import { JinjaError } from './errors';
import { spendReading, spendSteps } from './fuel';
import { Finder } from './search';
import { compareText } from './text';
import {
  Dict,
  dictGet,
  dictPairs,
  dictSize,
  Float,
  isDict,
  isList,
  itemsOf,
  Markup,
  numberOf,
  PyObject,
  Range,
  Stream,
  textOf,
  Tuple,
  typeName,
  Undefined,
  View,
  type Value,
} from './values';
import { toRepr } from './printing';

export function equals(a: Value, b: Value): boolean {
  if (typeof a === 'string' && typeof b === 'string') {
    if (a.length !== b.length) return false;
    spendReading(a.length);
    return a === b;
  }
  if (a === b) return !Number.isNaN(a);
  const left = textOf(a);
  if (left !== undefined) return left === textOf(b);
  const number = numberOf(a);
  if (number !== undefined) return equalNumbers(a, number, b);
  if (isList(a)) return isList(b) && equalItems(a, b);
  if (a === null || b === null || typeof b !== 'object' || isList(b)) return false;
  if (isDict(a)) return isDict(b) && equalDicts(a, b);
  if (a instanceof Tuple) return b instanceof Tuple && equalItems(a.items, b.items);
  if (a instanceof Undefined) return b instanceof Undefined;
  if (a instanceof Range) return b instanceof Range && equalRanges(a, b);
  if (a instanceof View && b instanceof View && a.type === b.type && a.type !== 'dict_values') {
    spendSteps(a.items.length * b.items.length);
    return a.items.length === b.items.length && a.items.every((item) => b.items.some((other) => equals(item, other)));
  }
  return false;
}

function equalNumbers(a: Value, number: number, b: Value): boolean {
  const other = numberOf(b);
  if (typeof a === 'bigint' || typeof b === 'bigint') return other !== undefined && exact(a) === exact(b);
  return number === other;
}

/** The bigint of a whole number. */
function exact(value: Value): unknown {
  const number = value instanceof Float ? value.value : Number(value);
  return typeof value === 'bigint' ? value : Number.isInteger(number) ? BigInt(number) : value;
}

function equalItems(a: readonly Value[], b: readonly Value[]): boolean {
  spendSteps(1 + Math.min(a.length, b.length));
  return a.length === b.length && a.every((item, i) => same(item, b[i]!));
}

/** Ranges of the same numbers. */
function equalRanges(a: Range, b: Range): boolean {
  if (a.length !== b.length) return false;
  return a.length === 0 || (a.start === b.start && (a.length === 1 || a.step === b.step));
}

/** Equality as containers mean it: the very same object counts. */
function same(a: Value, b: Value): boolean {
  return (typeof a !== 'string' && a === b) || equals(a, b);
}

function equalDicts(a: Parameters<typeof dictPairs>[0], b: Parameters<typeof dictPairs>[0]): boolean {
  if (dictSize(a) !== dictSize(b)) return false;
  spendSteps(1 + dictSize(a));
  return dictPairs(a).every(([key, value]) => {
    const other = dictGet(b, key);
    return other !== undefined && same(value, other);
  });
}

type Order = '<' | '<=' | '>' | '>=';

export function isOrdered(a: Value, operator: Order, b: Value): boolean {
  const order = compareValues(a, b, operator);
  if (Number.isNaN(order)) return false;
  switch (operator) {
    case '<':
      return order < 0;
    case '<=':
      return order <= 0;
    case '>':
      return order > 0;
    case '>=':
      return order >= 0;
  }
}

/** Below, at or above 0; NaN where a NaN is in it. Throws for values that Python doesn't order. */
export function compareValues(a: Value, b: Value, operator: Order = '<'): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b || (a === b ? 0 : Math.sign(a - b));
  const [left, right] = [textOf(a), textOf(b)];
  if (left !== undefined && right !== undefined) {
    // A joined text is put together before it is looked at.
    spendReading(Math.min(left.length, right.length) + (left.length + right.length) / 8);
    return compareText(left, right);
  }
  if (a instanceof Undefined) throw a.fail();
  if (b instanceof Undefined) throw b.fail();
  const [x, y] = [numberOf(a), numberOf(b)];
  if (x !== undefined && y !== undefined) {
    if (typeof a === 'bigint' && typeof b === 'bigint') return a < b ? -1 : a > b ? 1 : 0;
    return x === y ? 0 : x < y ? -1 : x > y ? 1 : NaN;
  }
  if (isList(a) && isList(b)) return compareItems(a, b, operator);
  if (a instanceof Tuple && b instanceof Tuple) return compareItems(a.items, b.items, operator);
  throw new JinjaError(`'${operator}' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`);
}

function compareItems(a: readonly Value[], b: readonly Value[], operator: Order): number {
  spendSteps(1 + Math.min(a.length, b.length));
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    if (!same(a[i]!, b[i]!)) return compareValues(a[i]!, b[i]!, operator);
  }
  return a.length - b.length;
}

export function contains(container: Value, item: Value): boolean {
  const text = textOf(container);
  if (text !== undefined) {
    const part = textOf(item);
    if (part === undefined) {
      throw new JinjaError(`'in <string>' requires string as left operand, not ${typeName(item)}`);
    }
    return part === '' || new Finder(text, part).first() >= 0;
  }
  if (isDict(container)) {
    // Asking for an unhashable key fails even in an empty dict.
    if (!(container instanceof Dict) && typeof item !== 'string')
      return new Dict(dictPairs(container)).get(item) !== undefined;
    return dictGet(container, item) !== undefined;
  }
  if (container instanceof Stream) {
    for (let next = container.iterator.next(); !next.done; next = container.iterator.next()) {
      spendSteps();
      if (same(item, next.value)) return true;
    }
    return false;
  }
  const items = itemsOf(container);
  if (!items) throw new JinjaError(`argument of type '${typeName(container)}' is not iterable`);
  spendSteps(items.length);
  return items.some((other) => same(item, other));
}

/** Python's `is`: the same object, where small values are one object each. */
export function isSame(a: Value, b: Value): boolean {
  if (a === b) return true;
  if (a instanceof Markup || b instanceof Markup) return false;
  if (a instanceof PyObject && b instanceof PyObject) {
    return a instanceof Tuple && b instanceof Tuple && a.items.length === 0 && b.items.length === 0;
  }
  return false;
}

/** Items in order, stable, by `key`; equal ones keep their order in reverse too. */
export function sortValues<T>(items: readonly T[], key: (item: T) => Value, reverse: boolean): T[] {
  spendSteps(items.length * Math.ceil(Math.log2(items.length + 2)));
  const keyed = items.map((item, index) => ({ item, key: key(item), index }));
  keyed.sort((a, b) => (reverse ? compareValues(b.key, a.key) : compareValues(a.key, b.key)) || a.index - b.index);
  return keyed.map(({ item }) => item);
}

/** Where `item` is in a list. */
export function indexOf(items: readonly Value[], item: Value): number {
  spendSteps(items.length);
  const index = items.findIndex((other) => same(item, other));
  if (index < 0) throw new JinjaError(`${toRepr(item)} is not in list`);
  return index;
}
