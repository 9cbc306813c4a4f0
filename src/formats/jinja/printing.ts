/** `str()` and `repr()` as Python prints values. */
import { JinjaError } from './errors';
import { replaceMatches } from './builder';
import { CHANGE, spendReading, spendSteps, spendText } from './fuel';
import {
  Callable,
  dictPairs,
  Float,
  isList,
  Markup,
  Namespace,
  PyObject,
  Range,
  Stream,
  Tuple,
  Undefined,
  View,
  type Value,
} from './values';

/** The digits of a large int, which take time quadratic in their number. */
export function bigintText(value: bigint, radix = 10): string {
  spendSteps(Math.ceil((value.toString(16).length / 512) ** 2));
  return value.toString(radix);
}

/** What `{{ value }}` prints. */
export function toText(value: Value): string {
  if (typeof value === 'string') return value;
  if (value instanceof Undefined) return '';
  return value instanceof Markup ? value.text : toRepr(value);
}

export function toRepr(value: Value): string {
  spendSteps();
  switch (typeof value) {
    case 'string':
      return textRepr(value);
    case 'number':
      return numberRepr(value);
    case 'boolean':
      return value ? 'True' : 'False';
    case 'bigint':
      return bigintText(value);
    default:
      if (value === null) return 'None';
      if (isList(value)) return spendOnText(`[${value.map(toRepr).join(', ')}]`);
      return value instanceof PyObject && value.type !== 'dict' ? objectRepr(value) : dictRepr(value);
  }
}

function spendOnText(text: string): string {
  spendText(text.length);
  return text;
}

function dictRepr(value: Parameters<typeof dictPairs>[0] | PyObject): string {
  const pairs = dictPairs(value as Parameters<typeof dictPairs>[0]);
  return spendOnText(`{${pairs.map(([key, item]) => `${toRepr(key)}: ${toRepr(item)}`).join(', ')}}`);
}

function objectRepr(value: PyObject): string {
  if (value instanceof Float) return floatRepr(value.value);
  if (value instanceof Tuple) {
    const items = value.items.map(toRepr);
    return spendOnText(items.length === 1 ? `(${items[0]},)` : `(${items.join(', ')})`);
  }
  if (value instanceof Undefined) return 'Undefined';
  if (value instanceof Markup) return `Markup(${textRepr(value.text)})`;
  if (value instanceof View) return spendOnText(`${value.type}([${value.items.map(toRepr).join(', ')}])`);
  if (value instanceof Range) {
    const { start, stop, step } = value;
    return step === 1 ? `range(${start}, ${stop})` : `range(${start}, ${stop}, ${step})`;
  }
  if (value instanceof Namespace) {
    const pairs = [...value.attributes].map(([key, item]) => `${toRepr(key)}: ${toRepr(item)}`);
    return spendOnText(`<Namespace {${pairs.join(', ')}}>`);
  }
  if (value instanceof Callable && value.type === 'Macro') return `<Macro ${textRepr(value.name)}>`;
  if (value instanceof Stream || value instanceof Callable) {
    // Python prints an address in memory here, another one each time.
    throw new JinjaError(`a '${value.type}' can't be printed: put its items into a list, or call it`);
  }
  return value.describe() ?? `<${value.type} object>`;
}

/** A number of JSON or arithmetic: whole ones are ints. */
export function numberRepr(value: number): string {
  if (!Number.isInteger(value)) return floatRepr(value);
  if (Number.isSafeInteger(value)) return String(value === 0 ? 0 : value);
  return BigInt(value).toString();
}

/** `repr` of a float: the shortest digits that give it back, with an exponent below 1e-4 and from 1e16. */
export function floatRepr(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  const sign = value < 0 || Object.is(value, -0) ? '-' : '';
  const [mantissa = '', power = '0'] = Math.abs(value).toExponential().split('e');
  const digits = mantissa.replace('.', '');
  const exponent = Number(power);
  if (exponent < -4 || exponent >= 16) {
    const fraction = digits.length > 1 ? `.${digits.slice(1)}` : '';
    return `${sign}${digits[0]}${fraction}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`;
  }
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, '0');
  return `${sign}${whole}.${digits.slice(exponent + 1) || '0'}`;
}

const NAMED_ESCAPES: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '\\': '\\\\' };
const UNPRINTABLE = /[\\\p{C}]|(?! )\p{Z}/gu;

export function textRepr(text: string): string {
  spendReading(CHANGE * text.length);
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = replaceMatches(
    text,
    UNPRINTABLE,
    ([character]) => NAMED_ESCAPES[character] ?? escapeCode(character.codePointAt(0)!),
  );
  return spendOnText(quote + (quote === "'" ? replaceMatches(escaped, /'/g, () => "\\'") : escaped) + quote);
}

function escapeCode(code: number): string {
  const hex = code.toString(16);
  if (code < 0x100) return `\\x${hex.padStart(2, '0')}`;
  return code < 0x10000 ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`;
}
