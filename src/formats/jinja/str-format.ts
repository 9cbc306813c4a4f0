/** `'{}'.format(…)`. */
import { JinjaError } from './errors';
import { TextBuilder } from './builder';
import { spendSteps, spendText } from './fuel';
import { formatFloatDigits, formatIntDigits, groupDigits } from './number-format';
import { toAscii } from './percent-format';
import { textRepr, toRepr, toText } from './printing';
import { offsetOf, textLength } from './text';
import { intOf, isFloat, numberOf, textOf, typeName, Undefined, type CallArguments, type Value } from './values';

const MAX_DEPTH = 2;
const SPECIFICATION = /^(?:(.)?([<>=^]))?([-+ ])?(z)?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?(.)?$/su;

/** How a field reaches into a value: `{0.name}`, `{0[key]}`. */
export interface FieldAccess {
  readonly attribute: (value: Value, name: string) => Value;
  readonly item: (value: Value, key: Value) => Value;
}

export function formatText(format: string, args: CallArguments, access: FieldAccess): string {
  return new Formatter(args, access).format(format, MAX_DEPTH);
}

class Formatter {
  /** How many fields went without a number. */
  private automatic = 0;
  private manual = false;

  constructor(
    private readonly args: CallArguments,
    private readonly access: FieldAccess,
  ) {}

  format(format: string, depth: number): string {
    if (depth < 0) throw new JinjaError('Max string recursion exceeded');
    const result = new TextBuilder();
    const brace = /[{}]/g;
    for (let i = 0; i < format.length; i++) {
      brace.lastIndex = i;
      const at = brace.exec(format)?.index ?? format.length;
      if (at > i) result.add(format.slice(i, at));
      i = at;
      spendSteps();
      const character = format[i];
      if (character === undefined) {
        break;
      } else if (format[i + 1] === character) {
        result.add(character);
        i++;
      } else if (character === '}') {
        throw new JinjaError("Single '}' encountered in format string");
      } else {
        const end = findEnd(format, i + 1);
        result.add(this.formatField(format.slice(i + 1, end), depth));
        i = end;
      }
    }
    return result.finish();
  }

  private formatField(field: string, depth: number): string {
    const [, path = '', conversion, specification = ''] =
      /^((?:[^!:[]|\[[^\]]*\]?)*)(?:!([^:]*))?(?::([^]*))?$/.exec(field) ?? [];
    let value = this.lookUp(path);
    if (conversion === 's') value = toText(value);
    else if (conversion === 'r') value = toRepr(value);
    else if (conversion === 'a') value = toAscii(toRepr(value));
    else if (conversion !== undefined) throw new JinjaError(`Unknown conversion specifier ${conversion}`);
    return formatValue(value, this.format(specification, depth - 1));
  }

  private lookUp(path: string): Value {
    const [, name = '', rest = ''] = /^([^.[]*)([^]*)$/.exec(path) ?? [];
    let value: Value | undefined;
    if (name === '' || /^\d+$/.test(name)) {
      if (name === '' ? this.manual : this.automatic > 0) {
        throw new JinjaError('cannot switch between manual and automatic field numbering');
      }
      if (name !== '') this.manual = true;
      value = this.args.positional[name === '' ? this.automatic++ : Number(name)];
      if (value === undefined) throw new JinjaError('Replacement index out of range for positional args tuple');
    } else {
      value = this.args.named.get(name);
      if (value === undefined) throw new JinjaError(`the format has no argument ${textRepr(name)}`);
    }
    for (const [, attribute, key] of rest.matchAll(/\.([^.[]+)|\[([^\]]+)\]/g)) {
      if (attribute !== undefined) value = this.access.attribute(value, attribute);
      else value = this.access.item(value, /^\d+$/.test(key!) ? Number(key) : key!);
    }
    return value;
  }
}

function findEnd(format: string, start: number): number {
  let open = 1;
  for (let i = start; i < format.length; i++) {
    if (format[i] === '{') open++;
    if (format[i] === '}' && --open === 0) return i;
  }
  throw new JinjaError(
    start === format.length ? "Single '{' encountered in format string" : "expected '}' before end of string",
  );
}

/** `format(value, specification)`. */
export function formatValue(value: Value, specification: string): string {
  if (specification === '') return toText(value);
  const text = textOf(value);
  const number = numberOf(value);
  if (text === undefined && number === undefined) {
    if (value instanceof Undefined) throw new JinjaError('unsupported format string passed to Undefined.__format__');
    throw new JinjaError(`unsupported format string passed to ${typeName(value)}.__format__`);
  }
  const match = SPECIFICATION.exec(specification);
  if (!match) throw new JinjaError('Invalid format specifier');
  const [, fill, align, sign, , alternate, zero, width, grouping, precisionText, type = ''] = match;
  const precision = precisionText === undefined ? undefined : Number(precisionText);
  if (Number(width ?? 0) > 1_000_000) throw new JinjaError('Too many decimal digits in format string');
  const box = { fill: fill ?? (zero ? '0' : ' '), align: align ?? (zero ? '=' : undefined), width: Number(width ?? 0) };
  if (text !== undefined) {
    if (type !== '' && type !== 's') throw unknownCode(type, 'str');
    if (sign !== undefined) throw new JinjaError('Sign not allowed in string format specifier');
    if (align === '=') throw new JinjaError("'=' alignment not allowed in string format specifier");
    if (grouping !== undefined) throw new JinjaError(`Cannot specify '${grouping}' with 's'.`);
    if (alternate !== undefined) throw new JinjaError('Alternate form (#) not allowed in string format specifier');
    const cut = precision === undefined ? text : text.slice(0, offsetOf(text, precision));
    return place(cut, '', { ...box, align: align ?? '<' });
  }
  const style = { type, precision, alternate: alternate !== undefined };
  const negative = number! < 0 || Object.is(number, -0);
  let digits: string;
  if (!isFloat(value) && 'bcdoxXn'.includes(type)) {
    if (precision !== undefined) throw new JinjaError('Precision not allowed in integer format specifier');
    const integer = BigInt(intOf(value)!);
    if (type === 'c' && (integer < 0n || integer > 0x10ffffn)) throw new JinjaError('%c arg not in range(0x110000)');
    if (type === 'c') return place(String.fromCodePoint(Number(integer)), '', { ...box, align: align ?? '<' });
    digits = formatIntDigits(integer < 0n ? -integer : integer, style);
  } else {
    if (!'eEfFgGn%'.includes(type)) throw unknownCode(type, typeName(value));
    digits = formatFloatDigits(Math.abs(number!), style);
  }
  if (grouping !== undefined) {
    if (type === 'n' || type === 'c') throw new JinjaError(`Cannot specify '${grouping}' with '${type}'.`);
    const small = 'boxX'.includes(type) && type !== '';
    if (small && grouping === ',') throw new JinjaError(`Cannot specify ',' with '${type}'.`);
    digits = groupDigits(digits, grouping, small ? 4 : 3);
  }
  return place(digits, negative ? '-' : sign === '+' || sign === ' ' ? sign : '', { ...box, align: box.align ?? '>' });
}

function unknownCode(type: string, kind: string): JinjaError {
  return new JinjaError(`Unknown format code '${type}' for object of type '${kind}'`);
}

function place(
  text: string,
  sign: string,
  { fill, align, width }: { fill: string; align: string; width: number },
): string {
  const missing = Math.max(0, width - textLength(text) - sign.length);
  spendText(missing);
  const left = align === '<' ? 0 : align === '^' ? Math.floor(missing / 2) : missing;
  if (align === '=') return sign + fill.repeat(missing) + text;
  return fill.repeat(left) + sign + text + fill.repeat(missing - left);
}
