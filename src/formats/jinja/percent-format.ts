/** `'…%s…' % values`. */
import { JinjaError } from './errors';
import { replaceMatches } from './builder';
import { spendText } from './fuel';
import { formatFloatDigits, formatIntDigits } from './number-format';
import { textRepr, toRepr, toText } from './printing';
import { offsetOf, textLength } from './text';
import {
  dictGet,
  Float,
  intOf,
  isDict,
  isFloat,
  isList,
  numberOf,
  Range,
  textOf,
  Tuple,
  typeName,
  Undefined,
  type AnyDict,
  type Value,
} from './values';

const DIRECTIVE = /%(?:\(([^()]*)\))?([-+ #0]*)(\*|\d+)?(?:\.(\*|\d*))?[hlL]?([^]?)/gu;
const MAX_WIDTH = 1_000_000;

export function formatPercent(format: string, values: Value): string {
  const list = values instanceof Tuple ? values.items : undefined;
  let used = 0;
  let named = false;
  const next = (): Value => {
    if (!list && used === 0) {
      used++;
      return values;
    }
    const value = list?.[used++];
    if (value === undefined) throw new JinjaError('not enough arguments for format string');
    return value;
  };
  const nextSize = (size: string | undefined): number | undefined => {
    const number = size === '*' ? Number(intOf(next()) ?? NaN) : size === undefined ? undefined : Number(size);
    if (Number.isNaN(number)) throw new JinjaError('* wants int');
    if (number !== undefined && Math.abs(number) > MAX_WIDTH) throw new JinjaError('width too big');
    return number;
  };
  const text = replaceMatches(
    format,
    DIRECTIVE,
    ([directive, key, flags = '', widthText, precisionText, type = '']: (string | undefined)[]) => {
      if (key !== undefined && !isDict(values)) throw new JinjaError('format requires a mapping');
      const width = nextSize(widthText);
      const precision = nextSize(precisionText);
      if (directive === '%%') return '%';
      if (type === '') throw new JinjaError('incomplete format');
      if (key !== undefined) named = true;
      const value = key === undefined ? next() : lookUp(values as AnyDict, key);
      const left = flags.includes('-') || (width ?? 0) < 0;
      const piece = formatOne(value, type, flags, precision);
      return pad(piece, Math.abs(width ?? 0), left, flags.includes('0') && !left && 'diufFeEgGxXo'.includes(type));
    },
  );
  if (list ? used < list.length : used === 0 && !named && !hasItems(values)) {
    throw new JinjaError('not all arguments converted during string formatting');
  }
  return text;
}

/** Whether Python takes it for a mapping, which needn't be used up: whatever can be indexed, but for text. */
function hasItems(value: Value): boolean {
  return isDict(value) || isList(value) || value instanceof Range || value instanceof Undefined;
}

function lookUp(values: AnyDict, key: string): Value {
  const value = dictGet(values, key);
  if (value === undefined) throw new JinjaError(`there is no key ${textRepr(key)} for the format`);
  return value;
}

function pad(text: string, width: number, left: boolean, zeros: boolean): string {
  const missing = width - textLength(text);
  if (missing <= 0) return text;
  spendText(width);
  if (left) return text + ' '.repeat(missing);
  if (!zeros) return ' '.repeat(missing) + text;
  const [, sign = '', digits = ''] = /^([-+ ]?(?:0[xXo])?)(.*)$/s.exec(text) ?? [];
  return sign + '0'.repeat(missing) + digits;
}

function formatOne(value: Value, type: string, flags: string, precision: number | undefined): string {
  switch (type) {
    case 's':
    case 'r':
    case 'a': {
      const text = type === 's' ? toText(value) : type === 'r' ? toRepr(value) : toAscii(toRepr(value));
      return precision === undefined ? text : text.slice(0, offsetOf(text, precision));
    }
    case 'c':
      return toCharacter(value);
    case 'd':
    case 'i':
    case 'u':
    case 'x':
    case 'X':
    case 'o': {
      const integer = toInt(value, type);
      const digits = formatIntDigits(integer < 0n ? -integer : integer, {
        type,
        precision: undefined,
        alternate: flags.includes('#'),
      });
      spendText(precision ?? 0);
      return signOf(integer < 0n, flags) + digits.padStart(precision ?? 0, '0');
    }
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G': {
      const number = numberOf(value);
      if (number === undefined) throw new JinjaError(`must be real number, not ${typeName(value)}`);
      const negative = number < 0 || Object.is(number, -0);
      return (
        signOf(negative, flags) +
        formatFloatDigits(Math.abs(number), { type, precision, alternate: flags.includes('#') })
      );
    }
    default:
      throw new JinjaError(`unsupported format character '${type}'`);
  }
}

function signOf(negative: boolean, flags: string): string {
  return negative ? '-' : flags.includes('+') ? '+' : flags.includes(' ') ? ' ' : '';
}

function toInt(value: Value, type: string): bigint {
  const integer = intOf(value);
  if (integer !== undefined) return BigInt(integer);
  if (isFloat(value) && 'diu'.includes(type)) {
    const number = value instanceof Float ? value.value : (value as number);
    if (!Number.isFinite(number)) throw new JinjaError('cannot convert float infinity or NaN to integer');
    return BigInt(Math.trunc(number));
  }
  const wanted = 'diu'.includes(type) ? 'a real number is required' : 'an integer is required';
  throw new JinjaError(`%${type} format: ${wanted}, not ${typeName(value)}`);
}

function toCharacter(value: Value): string {
  const text = textOf(value);
  if (text !== undefined && textLength(text) === 1) return text;
  const code = intOf(value);
  if (code === undefined) throw new JinjaError('%c requires int or char');
  if (code < 0 || code > 0x10ffff) throw new JinjaError('%c arg not in range(0x110000)');
  return String.fromCodePoint(Number(code));
}

/** `ascii()` of what `repr()` gave. */
export function toAscii(text: string): string {
  return replaceMatches(text, /[^\0-\x7f]/gu, ([character]) => {
    const code = character.codePointAt(0)!;
    const hex = code.toString(16);
    if (code < 0x100) return `\\x${hex.padStart(2, '0')}`;
    return code < 0x10000 ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`;
  });
}
