/** Filters on numbers. */
import { operate } from '../arithmetic';
import { JinjaError } from '../errors';
import { spendSteps } from '../fuel';
import { builtin, type Builtin } from '../functions';
import { roundFloat, toFixed } from '../number-format';
import { bigintText } from '../printing';
import { stripEnd, stripStart } from '../text';
import {
  Float,
  intOf,
  isFloat,
  makeFloat,
  makeInt,
  numberOf,
  textOf,
  typeName,
  Undefined,
  type Value,
} from '../values';
import { flag, integer } from './arguments';

/** CPython turns no longer text into an int (`sys.set_int_max_str_digits`). */
const MAX_NUMBER_LENGTH = 4300;

const FLOAT = /^[-+]?(?:(?:\d(?:_?\d)*)?\.?(?:\d(?:_?\d)*)?(?:e[-+]?\d(?:_?\d)*)?|inf(?:inity)?|nan)$/i;

/** Python's `float(value)`; undefined where it raises a TypeError or ValueError. */
function parseFloatLike(value: Value): number | undefined {
  if (value instanceof Undefined) throw value.fail();
  const text = textOf(value);
  if (text === undefined) {
    const number = numberOf(value);
    if (typeof value === 'bigint' && !Number.isFinite(number)) {
      throw new JinjaError('int too large to convert to float');
    }
    return number;
  }
  const trimmed = stripEnd(stripStart(text));
  if (trimmed.length > MAX_NUMBER_LENGTH) return undefined;
  if (!FLOAT.test(trimmed) || !/\d|inf|nan/i.test(trimmed)) return undefined;
  if (/^[-+]?(?:e|\.e|\.$)/i.test(trimmed)) return undefined;
  if (/nan/i.test(trimmed)) return NaN;
  if (/inf/i.test(trimmed)) return trimmed.startsWith('-') ? -Infinity : Infinity;
  return Number(trimmed.replaceAll('_', ''));
}

const DIGITS = '0123456789abcdefghijklmnopqrstuvwxyz';
const PREFIXES: Readonly<Record<string, number>> = { b: 2, o: 8, x: 16 };

/** Python's `int(text, base)`; undefined where it raises a ValueError. */
function parseIntText(text: string, base: number): bigint | undefined {
  if (text.length > MAX_NUMBER_LENGTH) return undefined;
  spendSteps(Math.ceil(text.length / 8));
  if (base !== 0 && (base < 2 || base > 36)) return undefined;
  const [, sign = '', prefix, body = ''] =
    /^([-+]?)(?:0([box])_?)?([\da-z_]*)$/i.exec(stripEnd(stripStart(text)).toLowerCase()) ?? [];
  let digits = body;
  let radix = base;
  if (prefix !== undefined) {
    const own = PREFIXES[prefix]!;
    if (base === 0 || base === own) radix = own;
    else digits = `0${prefix}${body}`;
  }
  if (radix === 0) radix = 10;
  if (base === 0 && prefix === undefined && /^0[0_]*[1-9]/.test(digits)) return undefined;
  if (!/^[^_]+(?:_[^_]+)*$/.test(digits)) return undefined;
  let value = 0n;
  for (const digit of digits.replaceAll('_', '')) {
    const worth = DIGITS.indexOf(digit);
    if (worth < 0 || worth >= radix) return undefined;
    value = value * BigInt(radix) + BigInt(worth);
  }
  return sign === '-' ? -value : value;
}

function toInt(value: Value, otherwise: Value | undefined, base: Value | undefined): Value {
  const text = textOf(value);
  const parsed = text === undefined ? intOf(value) : parseIntText(text, integer(base, 10));
  if (parsed !== undefined) return makeInt(BigInt(parsed));
  const number = parseFloatLike(value);
  if (number === undefined || !Number.isFinite(number)) {
    if (text === undefined && number !== undefined && !Number.isNaN(number))
      throw new JinjaError('cannot convert float infinity to integer');
    return otherwise === undefined ? 0 : otherwise;
  }
  return makeInt(BigInt(Math.trunc(number)));
}

function round(value: Value, precision: Value | undefined, method: Value | undefined): Value {
  const way = method === undefined ? 'common' : textOf(method);
  const digits = integer(precision, 0);
  if (way !== 'common' && way !== 'ceil' && way !== 'floor') {
    throw new JinjaError('method must be common, ceil or floor');
  }
  if (value instanceof Undefined) throw value.fail();
  const number = numberOf(value);
  if (number === undefined) throw new JinjaError(`type ${typeName(value)} doesn't define __round__ method`);
  if (way !== 'common') {
    const scale = operate('**', 10, digits);
    const scaled = numberOf(operate('*', value, scale))!;
    if (!Number.isFinite(scaled)) throw new JinjaError('cannot convert float infinity or NaN to integer');
    return operate('/', makeInt(BigInt(way === 'ceil' ? Math.ceil(scaled) : Math.floor(scaled))), scale);
  }
  if (isFloat(value)) return makeFloat(roundFloat(number, digits));
  if (digits >= 0) return makeInt(BigInt(intOf(value)!));
  // Beyond its own digits nothing is left of an int.
  const whole = BigInt(intOf(value)!);
  return -digits > bigintText(whole).length ? 0 : roundInt(whole, 10n ** BigInt(-digits));
}

/** To a multiple of `unit`, halves to the even one. */
function roundInt(value: bigint, unit: bigint): Value {
  const rest = ((value % unit) + unit) % unit;
  const floor = value - rest;
  const up = rest * 2n > unit || (rest * 2n === unit && (floor / unit) % 2n !== 0n);
  return makeInt(up ? floor + unit : floor);
}

function absolute(value: Value): Value {
  const number = numberOf(value);
  if (number === undefined) throw new JinjaError(`bad operand type for abs(): '${typeName(value)}'`);
  if (value instanceof Float) return new Float(Math.abs(number));
  const whole = intOf(value);
  return whole === undefined ? Math.abs(number) : whole < 0 ? makeInt(-BigInt(whole)) : whole;
}

function filesize(value: Value, binary: Value | undefined): string {
  const bytes = parseFloatLike(value);
  if (bytes === undefined) throw new JinjaError(`could not convert ${typeName(value)} to float`);
  const base = flag(binary) ? 1024 : 1000;
  const prefixes = 'kMGTPEZY'.split('').map((p) => (flag(binary) ? `${p.toUpperCase()}iB` : `${p}B`));
  if (bytes === 1) return '1 Byte';
  if (bytes < base) return `${Math.trunc(bytes)} Bytes`;
  let power = 2;
  while (power < prefixes.length + 1 && !(bytes < base ** power)) power++;
  const scaled = (base * bytes) / base ** power;
  return `${toFixed(scaled, 1)} ${prefixes[power - 2]}`;
}

export const NUMBER_FILTERS: readonly Builtin[] = [
  builtin('abs(x, /)', absolute),
  builtin('int(value, default?, base?)', toInt),
  builtin('float(value, default?)', (value: Value, otherwise?: Value) => {
    const number = parseFloatLike(value);
    if (number !== undefined) return makeFloat(number);
    return otherwise === undefined ? new Float(0) : otherwise;
  }),
  builtin('round(value, precision?, method?)', round),
  builtin('filesizeformat(value, binary?)', filesize),
];
