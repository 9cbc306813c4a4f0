/** Methods of list, tuple, dict, int and float that don't change their object: the sandbox refuses those that do. */
import { equals, indexOf } from '../compare';
import { JinjaError } from '../errors';
import { spendSteps } from '../fuel';
import { builtin, table } from '../functions';
import { bigintText } from '../printing';
import {
  Dict,
  dictGet,
  dictKeys,
  dictPairs,
  Float,
  intOf,
  isList,
  listOf,
  makeInt,
  numberOf,
  Tuple,
  Undefined,
  View,
  type AnyDict,
  type Value,
} from '../values';

function position(value: Value | undefined, length: number, otherwise: number): number {
  const index = value === undefined ? otherwise : Number(intOf(value) ?? NaN);
  if (Number.isNaN(index)) throw new JinjaError('slice indices must be integers');
  return Math.max(0, index < 0 ? index + length : index);
}

const index = builtin(
  'index(self, value, start?, stop?, /)',
  (self: Value, value: Value, start?: Value, stop?: Value) => {
    const all = listOf(self);
    const from = position(start, all.length, 0);
    return from + indexOf(all.slice(from, position(stop, all.length, all.length)), value);
  },
);

const count = builtin(
  'count(self, value, /)',
  (self: Value, value: Value) => listOf(self).filter((item) => item === value || equals(item, value)).length,
);

export const LIST_METHODS = table([index, count, builtin('copy(self, /)', (self: Value) => [...listOf(self)])]);

export const TUPLE_METHODS = table([index, count]);

export const DICT_METHODS = table([
  builtin('get(self, key, default?, /)', (self: Value, key: Value, otherwise?: Value) => {
    const dict = self as AnyDict;
    // Python hashes the key before it looks, so that a list is refused.
    if (typeof key !== 'string') new Dict([[key, null]]);
    const value = dictGet(dict, key);
    return value === undefined ? (otherwise ?? null) : value;
  }),
  builtin('keys(self, /)', (self: Value) => new View('dict_keys', dictKeys(self as AnyDict))),
  builtin(
    'values(self, /)',
    (self: Value) =>
      new View(
        'dict_values',
        dictPairs(self as AnyDict).map(([, value]) => value),
      ),
  ),
  builtin(
    'items(self, /)',
    (self: Value) =>
      new View(
        'dict_items',
        dictPairs(self as AnyDict).map(([key, value]) => new Tuple([key, value])),
      ),
  ),
  builtin('copy(self, /)', (self: Value) => new Dict(dictPairs(self as AnyDict))),
  builtin('fromkeys(self, iterable, value?, /)', (_self: Value, keys: Value, value?: Value) => {
    return new Dict(listOf(keys).map((key) => [key, value ?? null] as const));
  }),
]);

export const INT_METHODS = table([
  builtin('bit_length(self, /)', (self: Value) => {
    const value = BigInt(intOf(self) ?? 0);
    return value === 0n ? 0 : bigintText(value < 0n ? -value : value, 2).length;
  }),
  builtin(
    'bit_count(self, /)',
    (self: Value) => bigintText(BigInt(intOf(self) ?? 0), 2).replaceAll(/[^1]/g, '').length,
  ),
  builtin('conjugate(self, /)', (self: Value) => intOf(self) ?? 0),
  builtin('as_integer_ratio(self, /)', (self: Value) => new Tuple([intOf(self) ?? 0, 1])),
]);

export const FLOAT_METHODS = table([
  builtin('is_integer(self, /)', (self: Value) => self instanceof Float && Number.isInteger(self.value)),
  builtin('conjugate(self, /)', (self: Value) => self),
  builtin('as_integer_ratio(self, /)', (self: Value) => {
    let numerator = numberOf(self) ?? 0;
    let denominator = 1n;
    spendSteps(100);
    if (!Number.isFinite(numerator)) throw new JinjaError('cannot convert Infinity or NaN to integer ratio');
    while (!Number.isInteger(numerator)) {
      numerator *= 2;
      denominator *= 2n;
    }
    return new Tuple([makeInt(BigInt(numerator)), makeInt(denominator)]);
  }),
]);

/** Names that Python's types have and the immutable sandbox doesn't give away. */
export const CHANGING_METHODS = {
  list: new Set(['append', 'clear', 'pop', 'reverse', 'insert', 'sort', 'extend', 'remove']),
  dict: new Set(['clear', 'pop', 'popitem', 'setdefault', 'update']),
} as const;

/** What a changing method of a list or dict is refused with. */
export function unsafeAttribute(self: Value, name: string): Undefined {
  const kind = isList(self) ? 'list' : 'dict';
  return new Undefined(() => `access to attribute '${name}' of '${kind}' object is unsafe.`);
}
