/** Numbers as `%` formatting, `str.format` and `round` want them. */
import { JinjaError } from './errors';
import { spendSteps } from './fuel';
import { bigintText, floatRepr } from './printing';

/** Places of a number: a double has no more than 1,074 behind the point. */
const MAX_DIGITS = 2000;

/** The exact value of a finite double as `digits / 2^-power`: an integer and the power of two that it is divided by. */
function exactFraction(value: number): { numerator: bigint; denominator: bigint } {
  let denominator = 1n;
  let scaled = value;
  while (!Number.isInteger(scaled)) {
    scaled *= 2;
    denominator *= 2n;
  }
  return { numerator: BigInt(scaled), denominator };
}

/** A finite number of 0 or more rounded to `digits` places (half to even on its exact value), as digits without a point. */
function roundedDigits(value: number, digits: number): string {
  if (Math.abs(digits) > MAX_DIGITS) throw new JinjaError('precision too big');
  spendSteps(100 + Math.abs(digits));
  const { numerator, denominator } = exactFraction(value);
  const scaled = digits >= 0 ? numerator * 10n ** BigInt(digits) : numerator;
  const divisor = digits >= 0 ? denominator : denominator * 10n ** BigInt(-digits);
  const [quotient, rest] = [scaled / divisor, scaled % divisor];
  const twice = rest * 2n;
  const up = twice > divisor || (twice === divisor && quotient % 2n === 1n);
  return (up ? quotient + 1n : quotient).toString();
}

/** `%.{precision}f` of a number of 0 or more. */
export function toFixed(value: number, precision: number): string {
  if (precision > 1000) throw new JinjaError('precision too big');
  if (!Number.isFinite(value)) return floatRepr(value);
  const digits = roundedDigits(value, precision).padStart(precision + 1, '0');
  return precision === 0 ? digits : `${digits.slice(0, -precision)}.${digits.slice(-precision)}`;
}

/** `%.{precision}e` of a number of 0 or more. */
export function toExponential(value: number, precision: number): string {
  let exponent = value === 0 ? 0 : Number(value.toExponential().split('e')[1]);
  let digits = roundedDigits(value, precision - exponent);
  if (digits.length > precision + 1) {
    exponent++;
    digits = roundedDigits(value, precision - exponent);
  }
  digits = digits.padStart(precision + 1, '0');
  const sign = exponent < 0 ? '-' : '+';
  const power = String(Math.abs(exponent)).padStart(2, '0');
  return `${digits[0]}${precision > 0 ? `.${digits.slice(1)}` : ''}e${sign}${power}`;
}

/** `%.{precision}g` of a number of 0 or more. */
export function toGeneral(value: number, precision: number, keepZeros: boolean): string {
  const wanted = precision === 0 ? 1 : precision;
  const text = toExponential(value, wanted - 1);
  const exponent = Number(text.split('e')[1]);
  const trim = (digits: string) => (keepZeros || !digits.includes('.') ? digits : digits.replace(/\.?0+$/, ''));
  if (exponent >= -4 && exponent < wanted) return trim(toFixed(value, wanted - 1 - exponent));
  const [mantissa = '', power = ''] = text.split('e');
  return `${trim(mantissa)}e${power}`;
}

/** `round(value, digits)` of a float. */
export function roundFloat(value: number, digits: number): number {
  if (!Number.isFinite(value) || digits > 323) return value;
  if (digits < -308) return 0 * value;
  const rounded = roundedDigits(Math.abs(value), digits);
  const result = digits > 0 ? Number(`${rounded}e-${digits}`) : Number(rounded) * 10 ** -digits;
  return value < 0 || Object.is(value, -0) ? -result : result;
}

export interface NumberStyle {
  readonly type: string;
  readonly precision: number | undefined;
  readonly alternate: boolean;
}

/** The digits of a float of 0 or more, by the letter of a format. */
export function formatFloatDigits(value: number, { type, precision, alternate }: NumberStyle): string {
  const upper = /[A-Z]/.test(type);
  const digits = Number.isFinite(value)
    ? finiteDigits(value, type.toLowerCase(), precision, alternate)
    : floatRepr(value) + (type === '%' ? '%' : '');
  return upper ? digits.toUpperCase() : digits;
}

function finiteDigits(value: number, type: string, precision: number | undefined, alternate: boolean): string {
  switch (type) {
    case 'f':
      return toFixed(value, precision ?? 6);
    case 'e':
      return toExponential(value, precision ?? 6);
    case '%':
      return `${toFixed(value * 100, precision ?? 6)}%`;
    case 'g':
    case 'n':
      return toGeneral(value, precision ?? 6, alternate);
    default: {
      if (precision === undefined) return floatRepr(value);
      // Like g, but with a digit after the point, and an exponent one digit earlier.
      const text = toGeneral(value, precision, false);
      if (text.includes('e') || text.includes('.')) return text;
      return text.length >= precision ? toExponentialTrimmed(value, precision) : `${text}.0`;
    }
  }
}

function toExponentialTrimmed(value: number, precision: number): string {
  const [mantissa = '', power = ''] = toExponential(value, Math.max(0, precision - 1)).split('e');
  return `${mantissa.replace(/\.?0+$/, '')}e${power}`;
}

const PREFIXES: Readonly<Record<string, readonly [number, string]>> = { x: [16, '0x'], o: [8, '0o'], b: [2, '0b'] };

/** The digits of an int of 0 or more. */
export function formatIntDigits(value: bigint, { type, alternate }: NumberStyle): string {
  const [radix, prefix] = PREFIXES[type.toLowerCase()] ?? [10, ''];
  const digits = (alternate ? prefix : '') + bigintText(value, radix);
  return type === 'X' ? digits.toUpperCase() : digits;
}

/** Digits in groups, from the point to the left. */
export function groupDigits(digits: string, separator: string, size: number): string {
  // Fours are those of binary, octal and hexadecimal digits, thousands those before a point or an exponent.
  const pattern = size === 4 ? /^(0[xob])?([\da-f]*)(.*)$/is : /^()(\d*)(.*)$/s;
  const [, prefix = '', whole = '', rest = ''] = pattern.exec(digits) ?? [];
  const groups: string[] = [];
  for (let end = whole.length; end > 0; end -= size) groups.push(whole.slice(Math.max(0, end - size), end));
  return prefix + groups.reverse().join(separator) + rest;
}
