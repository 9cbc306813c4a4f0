/** Python's arithmetic on numbers, text and sequences. */
import type { Operator } from './ast';
import { JinjaError } from './errors';
import { joinTexts, spendSteps, spendText } from './fuel';
import { escapeMarkup } from './markup';
import { formatPercent } from './percent-format';
import {
  Float,
  intOf,
  isFloat,
  isList,
  makeFloat,
  makeInt,
  Markup,
  numberOf,
  textOf,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values';

/** Most bits of an int. */
const MAX_BITS = 100_000;

export function add(a: Value, b: Value): Value {
  if (typeof a === 'string' && typeof b === 'string') return joinTexts(a, b);
  if (typeof a === 'number' && typeof b === 'number') {
    const sum = a + b;
    if (Number.isSafeInteger(sum) && Number.isInteger(a) && Number.isInteger(b)) return sum;
  }
  const [left, right] = [textOf(a), textOf(b)];
  if (left !== undefined && right !== undefined) return new Markup(joinTexts(escapeMarkup(a), escapeMarkup(b)));
  if (isList(a) && isList(b)) {
    spendSteps(a.length + b.length);
    return [...a, ...b];
  }
  if (a instanceof Tuple && b instanceof Tuple) {
    spendSteps(a.items.length + b.items.length);
    return new Tuple([...a.items, ...b.items]);
  }
  return arithmetic('+', a, b);
}

export function operate(operator: Operator, a: Value, b: Value): Value {
  switch (operator) {
    case '+':
      return add(a, b);
    case '*': {
      const repeated = repeat(a, b) ?? repeat(b, a);
      return repeated ?? arithmetic(operator, a, b);
    }
    case '%':
      if (typeof a === 'string') return formatPercent(a, b);
      if (a instanceof Markup) return new Markup(formatPercent(a.text, escapeOperands(b)));
      return arithmetic(operator, a, b);
    default:
      return arithmetic(operator, a, b);
  }
}

function escapeOperands(value: Value): Value {
  if (textOf(value) !== undefined) return escapeMarkup(value);
  if (!(value instanceof Tuple)) return value;
  spendSteps(value.items.length);
  return new Tuple(value.items.map(escapeOperands));
}

function repeat(sequence: Value, count: Value): Value | undefined {
  const text = textOf(sequence);
  const items = isList(sequence) ? sequence : sequence instanceof Tuple ? sequence.items : undefined;
  const times = intOf(count);
  if ((text === undefined && items === undefined) || times === undefined) return undefined;
  const n = (text ?? items)?.length === 0 ? 0 : Math.max(0, Number(times));
  if (text !== undefined) spendText(n * text.length);
  else spendSteps(n * items!.length);
  if (text !== undefined) return sequence instanceof Markup ? new Markup(text.repeat(n)) : text.repeat(n);
  const repeated: Value[] = [];
  for (let i = 0; i < n; i++) for (const item of items!) repeated.push(item);
  return sequence instanceof Tuple ? new Tuple(repeated) : repeated;
}

function arithmetic(operator: Operator, a: Value, b: Value): Value {
  if (a instanceof Undefined) throw a.fail();
  if (b instanceof Undefined) throw b.fail();
  const [x, y] = [numberOf(a), numberOf(b)];
  if (x === undefined || y === undefined) throw unsupported(operator, a, b);
  if (isFloat(a) || isFloat(b) || operator === '/') return floatArithmetic(operator, x, y, isFloat(a) || isFloat(b));
  return intArithmetic(operator, intOf(a)!, intOf(b)!);
}

function unsupported(operator: Operator, a: Value, b: Value): JinjaError {
  if (operator === '+') {
    const kind = textOf(a) !== undefined ? 'str' : isList(a) ? 'list' : a instanceof Tuple ? 'tuple' : undefined;
    if (kind !== undefined) return new JinjaError(`can only concatenate ${kind} (not "${typeName(b)}") to ${kind}`);
  }
  if (operator === '*') {
    for (const [sequence, count] of [
      [a, b],
      [b, a],
    ] as const) {
      if (textOf(sequence) !== undefined || isList(sequence) || sequence instanceof Tuple) {
        return new JinjaError(`can't multiply sequence by non-int of type '${typeName(count)}'`);
      }
    }
  }
  const sign = operator === '**' ? '** or pow()' : operator;
  return new JinjaError(`unsupported operand type(s) for ${sign}: '${typeName(a)}' and '${typeName(b)}'`);
}

function floatArithmetic(operator: Operator, x: number, y: number, isFloatOperand: boolean): Value {
  switch (operator) {
    case '+':
      return makeFloat(x + y);
    case '-':
      return makeFloat(x - y);
    case '*':
      return makeFloat(x * y);
    case '/':
      if (y === 0) throw new JinjaError(isFloatOperand ? 'float division by zero' : 'division by zero');
      return makeFloat(x / y);
    case '//':
      if (y === 0) throw new JinjaError('float floor division by zero');
      return makeFloat(floorDivide(x, y));
    case '%':
      if (y === 0) throw new JinjaError('float modulo');
      return makeFloat(modulo(x, y));
    case '**': {
      if (x === 0 && y < 0) throw new JinjaError('0.0 cannot be raised to a negative power');
      const power = x === 1 || y === 0 ? 1 : x ** y;
      if (Number.isNaN(power) && !Number.isNaN(x) && !Number.isNaN(y))
        throw new JinjaError('a negative number has no such power but a complex one');
      if (!Number.isFinite(power) && Number.isFinite(x) && Number.isFinite(y))
        throw new JinjaError('Numerical result out of range');
      return makeFloat(power);
    }
  }
}

/** The remainder with the divisor's sign. */
function modulo(x: number, y: number): number {
  const rest = x % y;
  if (rest === 0) return y < 0 ? -0 : 0;
  return rest < 0 !== y < 0 ? rest + y : rest;
}

/** As CPython does it, by the remainder, so that the quotient is exact. */
function floorDivide(x: number, y: number): number {
  const quotient = (x - modulo(x, y)) / y;
  if (quotient === 0) return x / y < 0 || Object.is(x / y, -0) ? -0 : 0;
  const floor = Math.floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

function intArithmetic(operator: Operator, x: number | bigint, y: number | bigint): Value {
  if ((operator === '//' || operator === '%') && Number(y) === 0) {
    throw new JinjaError(operator === '%' ? 'integer modulo by zero' : 'integer division or modulo by zero');
  }
  if (operator === '**') return intPower(x, y);
  if (typeof x === 'number' && typeof y === 'number') {
    const result = smallIntArithmetic(operator, x, y);
    if (Number.isSafeInteger(result)) return result === 0 ? 0 : result;
  }
  return makeInt(bigIntArithmetic(operator, BigInt(x), BigInt(y)));
}

function smallIntArithmetic(operator: Operator, x: number, y: number): number {
  switch (operator) {
    case '+':
      return x + y;
    case '-':
      return x - y;
    case '*':
      return x * y;
    case '//':
      return (x - modulo(x, y)) / y;
    default:
      return modulo(x, y);
  }
}

function bigIntArithmetic(operator: Operator, x: bigint, y: bigint): bigint {
  spendSteps(Math.ceil(((bitsOf(x) + bitsOf(y)) / 4096) ** 2));
  switch (operator) {
    case '+':
      return x + y;
    case '-':
      return x - y;
    case '*':
      if (bitsOf(x) + bitsOf(y) > MAX_BITS) throw new JinjaError('the product is too large');
      return x * y;
    default: {
      const rest = x % y;
      const adjusted = rest !== 0n && rest < 0n !== y < 0n;
      if (operator === '%') return adjusted ? rest + y : rest;
      return adjusted ? x / y - 1n : x / y;
    }
  }
}

function bitsOf(value: bigint): number {
  return 4 * value.toString(16).length;
}

function intPower(x: number | bigint, y: number | bigint): Value {
  if (y < 0) {
    if (Number(x) === 0) throw new JinjaError('0.0 cannot be raised to a negative power');
    return makeFloat(Number(x) ** Number(y));
  }
  const base = BigInt(x);
  // Of 0, 1 and -1 only the parity of the exponent matters, however large it is.
  if (base >= -1n && base <= 1n) return makeInt(Number(y) === 0 ? 1n : base ** (2n - (BigInt(y) % 2n)));
  if (base.toString(2).length * Number(y) > MAX_BITS) throw new JinjaError('the power is too large');
  spendSteps(Math.ceil(((base.toString(2).length * Number(y)) / 2048) ** 2));
  return makeInt(base ** BigInt(y));
}

export function negate(value: Value): Value {
  return unary('-', value);
}

export function positive(value: Value): Value {
  return unary('+', value);
}

function unary(sign: '-' | '+', value: Value): Value {
  if (value instanceof Undefined) throw value.fail();
  const integer = intOf(value);
  if (typeof integer === 'bigint') return sign === '-' ? makeInt(-integer) : integer;
  if (integer !== undefined) return sign === '-' && integer !== 0 ? -integer : integer;
  if (value instanceof Float) return sign === '-' ? new Float(-value.value) : value;
  if (typeof value === 'number') return sign === '-' ? -value : value;
  throw new JinjaError(`bad operand type for unary ${sign}: '${typeName(value)}'`);
}
