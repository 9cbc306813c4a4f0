/** Methods of str. */
import { JinjaError } from '../errors';
import { mapCharacters, TextBuilder } from '../builder';
import { CHANGE, WALK, spendParts, spendReading, spendSteps, spendText } from '../fuel';
import { builtin, table, type Builtin } from '../functions';
import { toText } from '../printing';
import { Finder } from '../search';
import {
  capitalize,
  isLower,
  isTitle,
  isUpper,
  offsetOf,
  NOT_PYTHON_SPACE,
  splitLines,
  splitSpaces,
  splitSpacesFromEnd,
  stripEnd,
  stripStart,
  swapCase,
  textLength,
  toLower,
  toTitle,
  toUpper,
} from '../text';
import { intOf, isDict, isTrue, dictPairs, listOf, textOf, Tuple, typeName, type Value } from '../values';

type Argument = Value | undefined;

function text(value: Argument, method: string): string {
  const found = textOf(value);
  if (found === undefined) throw new JinjaError(`${method}() argument must be str, not ${typeName(value ?? null)}`);
  return found;
}

/** An int, or `otherwise` where none is given. */
function integer(value: Argument, otherwise: number): number {
  if (value === undefined || value === null) return otherwise;
  const found = intOf(value);
  if (found === undefined) throw new JinjaError(`'${typeName(value)}' object cannot be interpreted as an integer`);
  return Number(found);
}

/** Characters to strip: none given means white space. */
function characters(value: Argument, method: string): string | undefined {
  return value === undefined || value === null ? undefined : text(value, method);
}

function count(self: string, part: string): number {
  if (part === '') return textLength(self) + 1;
  const found = places(self, part);
  let count = 0;
  while (!found.next().done) count++;
  return count;
}

/** Where a part that is not empty stands in a text, from the left. */
function* places(self: string, part: string): Generator<number> {
  const finder = new Finder(self, part);
  for (let at = finder.first(); at >= 0; at = finder.first(at + part.length)) {
    spendSteps();
    yield at;
  }
}

/** The parts of a text between `cut`s. */
function splitAt(self: string, cut: string): string[] {
  const parts: string[] = [];
  let end = 0;
  for (const at of places(self, cut)) {
    spendParts();
    parts.push(self.slice(end, at));
    end = at + cut.length;
  }
  parts.push(self.slice(end));
  return parts;
}

/** The offsets in UTF-16 units of `self[start:end]`; undefined where the start lies beyond the end of the text. */
function window(self: string, start: Argument, end: Argument): { from: number; to: number } | undefined {
  const length = textLength(self);
  const clamp = (index: number) => Math.min(length, Math.max(0, index < 0 ? index + length : index));
  const from = integer(start, 0);
  if (from > length) return undefined;
  const [a, b] = [clamp(from), clamp(integer(end, length))];
  return a > b ? undefined : { from: offsetOf(self, a), to: offsetOf(self, b) };
}

function find(self: Value, part: Argument, start: Argument, end: Argument, last: boolean, method: string): number {
  const whole = text(self, method);
  const range = window(whole, start, end);
  if (!range) return -1;
  const inside = whole.slice(range.from, range.to);
  const wanted = text(part, method);
  const index = findPart(inside, wanted, last);
  return index < 0 ? -1 : textLength(whole.slice(0, range.from + index));
}

function findPart(whole: string, part: string, last: boolean): number {
  if (part === '') return last ? whole.length : 0;
  const finder = new Finder(whole, part);
  return last ? finder.last() : finder.first();
}

function affix(
  self: Value,
  parts: Argument,
  start: Argument,
  end: Argument,
  method: 'startswith' | 'endswith',
): boolean {
  const whole = text(self, method);
  const range = window(whole, start, end);
  if (!(parts instanceof Tuple) && textOf(parts) === undefined) {
    throw new JinjaError(`${method} first arg must be str or a tuple of str, not ${typeName(parts ?? null)}`);
  }
  if (!range) return false;
  const inside = whole.slice(range.from, range.to);
  return (parts instanceof Tuple ? listOf(parts) : [parts!]).some((part) => {
    const wanted = text(part, method);
    spendReading(wanted.length);
    return method === 'startswith' ? inside.startsWith(wanted) : inside.endsWith(wanted);
  });
}

function split(self: Value, separator: Argument, limit: Argument, fromEnd: boolean): Value[] {
  const whole = text(self, 'split');
  const most = integer(limit, -1);
  if (separator === undefined || separator === null) {
    return fromEnd ? splitSpacesFromEnd(whole, most) : splitSpaces(whole, most);
  }
  const cut = text(separator, 'split');
  if (cut === '') throw new JinjaError('empty separator');
  const parts = splitAt(whole, cut);
  if (most < 0 || parts.length <= most + 1) return parts;
  if (fromEnd) {
    const head = parts.length - most;
    return [joinAll(parts.slice(0, head), cut), ...parts.slice(head)];
  }
  return [...parts.slice(0, most), joinAll(parts.slice(most), cut)];
}

function partition(self: Value, separator: Argument, last: boolean): Tuple {
  const whole = text(self, 'partition');
  const cut = text(separator, 'partition');
  if (cut === '') throw new JinjaError('empty separator');
  const index = findPart(whole, cut, last);
  if (index < 0) return new Tuple(last ? ['', '', whole] : [whole, '', '']);
  return new Tuple([whole.slice(0, index), cut, whole.slice(index + cut.length)]);
}

/** `str.replace`; an empty `old` stands between all characters. A `limit` below 0 is none. */
export function replaceText(self: string, old: string, replacement: string, limit: number): string {
  if (limit === 0) return self;
  let left = limit;
  if (old === '') {
    const put = () => {
      if (left === 0) return '';
      left--;
      return replacement;
    };
    const body = mapCharacters(self, (character) => put() + character);
    return body + put();
  }
  const builder = new TextBuilder();
  let end = 0;
  const finder = new Finder(self, old);
  for (let at = finder.first(); at >= 0 && left !== 0; at = finder.first(end), left--) {
    if (at > end) builder.add(self.slice(end, at));
    builder.add(replacement);
    end = at + old.length;
  }
  if (end === 0) return self;
  builder.add(self.slice(end));
  return builder.finish();
}

function pad(self: Value, width: Argument, fill: Argument, side: 'left' | 'right' | 'both'): string {
  const whole = text(self, 'center');
  const character = fill === undefined ? ' ' : text(fill, 'center');
  if (textLength(character) !== 1) throw new JinjaError('The fill character must be exactly one character long');
  return padText(whole, integer(width, 0), character, side);
}

export function padText(whole: string, width: number, character: string, side: 'left' | 'right' | 'both'): string {
  const missing = width - textLength(whole);
  if (missing <= 0) return whole;
  spendText(whole.length + missing * character.length);
  // Where the two sides can't be equal, CPython's rule.
  const left = side === 'left' ? missing : side === 'right' ? 0 : (missing >> 1) + (missing & width & 1);
  return character.repeat(left) + whole + character.repeat(missing - left);
}

function zeroFill(self: Value, width: Argument): string {
  const whole = text(self, 'zfill');
  const missing = integer(width, 0) - textLength(whole);
  if (missing <= 0) return whole;
  spendText(whole.length + missing);
  const sign = /^[-+]/.exec(whole)?.[0] ?? '';
  return sign + '0'.repeat(missing) + whole.slice(sign.length);
}

function expandTabs(self: Value, size: Argument): string {
  const width = integer(size, 8);
  let column = 0;
  return mapCharacters(text(self, 'expandtabs'), (character) => {
    if (character === '\t') {
      const spaces = width > 0 ? width - (column % width) : 0;
      spendText(spaces);
      column += spaces;
      return ' '.repeat(spaces);
    }
    column = character === '\n' || character === '\r' ? 0 : column + 1;
    return character;
  });
}

function join(self: Value, items: Argument): string {
  const parts = listOf(items ?? null).map((item, index) => {
    const part = textOf(item);
    if (part === undefined)
      throw new JinjaError(`sequence item ${index}: expected str instance, ${typeName(item)} found`);
    return part;
  });
  return joinAll(parts, text(self, 'join'));
}

/** The parts with `separator` between them. */
export function joinAll(parts: readonly string[], separator: string): string {
  spendText(parts.reduce((sum, part) => sum + part.length + separator.length, 0));
  return parts.join(separator);
}

function translate(self: Value, mapping: Argument): string {
  const pairs = new Map(mapping !== undefined && isDict(mapping) ? dictPairs(mapping) : []);
  return mapCharacters(text(self, 'translate'), (character) => {
    const code = character.codePointAt(0)!;
    const found = pairs.has(code) ? pairs.get(code)! : character;
    return found === null ? '' : typeof found === 'number' ? toCharacter(found) : toText(found);
  });
}

function toCharacter(code: number): string {
  if (!Number.isInteger(code) || code < 0 || code > 0x10ffff) {
    throw new JinjaError('character mapping must be in range(0x110000)');
  }
  return String.fromCodePoint(code);
}

const IDENTIFIER_START = /^[\p{ID_Start}_]/u;

/** A method that says whether a text has characters, and none that `other` matches: a loop to the end could run out of memory. */
function every(name: string, other: RegExp): Builtin {
  return mapped(name, (self) => self !== '' && !other.test(self), CHANGE);
}

function found(index: number): number {
  if (index < 0) throw new JinjaError('substring not found');
  return index;
}

function mapped(name: string, change: (self: string) => Value, weight = 1): Builtin {
  return builtin(`${name}(self, /)`, (self: Value) => change(text(self, name)), weight);
}

/** `format` and `format_map`, which look into values, are in access.ts. */
export const STRING_METHODS = table([
  mapped('upper', toUpper, CHANGE),
  mapped('lower', toLower, CHANGE),
  mapped('casefold', (self) => replaceText(replaceText(toLower(self), 'ß', 'ss', -1), 'ς', 'σ', -1), CHANGE),
  mapped('title', toTitle, WALK),
  mapped('capitalize', capitalize, CHANGE),
  mapped('swapcase', swapCase, WALK),
  mapped('islower', isLower, 2 * CHANGE),
  mapped('isupper', isUpper, 2 * CHANGE),
  mapped('istitle', isTitle, 2 * WALK),
  every('isspace', new RegExp(NOT_PYTHON_SPACE)),
  mapped('isascii', (self) => !/[^\0-\x7f]/.test(self)),
  mapped('isprintable', (self) => !/\p{C}|(?! )\p{Z}/u.test(self), CHANGE),
  mapped('isidentifier', (self) => IDENTIFIER_START.test(self) && !/\P{ID_Continue}/u.test(self), CHANGE),
  every('isalpha', /\P{L}/u),
  every('isalnum', /[^\p{L}\p{N}]/u),
  every('isdecimal', /\P{Nd}/u),
  every('isdigit', /[^\p{Nd}²³¹⁰⁴-⁹₀-₉①-⑨]/u),
  every('isnumeric', /\P{N}/u),
  builtin('strip(self, chars?, /)', (self: Value, chars?: Value) => {
    const set = characters(chars, 'strip');
    return stripEnd(stripStart(text(self, 'strip'), set), set);
  }),
  builtin('lstrip(self, chars?, /)', (self: Value, chars?: Value) =>
    stripStart(text(self, 'lstrip'), characters(chars, 'lstrip')),
  ),
  builtin('rstrip(self, chars?, /)', (self: Value, chars?: Value) =>
    stripEnd(text(self, 'rstrip'), characters(chars, 'rstrip')),
  ),
  builtin('split(self, sep?, maxsplit?)', (self: Value, sep?: Value, limit?: Value) => split(self, sep, limit, false)),
  builtin('rsplit(self, sep?, maxsplit?)', (self: Value, sep?: Value, limit?: Value) => split(self, sep, limit, true)),
  builtin('splitlines(self, keepends?)', (self: Value, keep?: Value) =>
    splitLines(text(self, 'splitlines'), keep !== undefined && isTrue(keep)),
  ),
  builtin('partition(self, sep, /)', (self: Value, sep: Value) => partition(self, sep, false)),
  builtin('rpartition(self, sep, /)', (self: Value, sep: Value) => partition(self, sep, true)),
  builtin('find(self, sub, start?, end?, /)', (self: Value, sub: Value, start?: Value, end?: Value) =>
    find(self, sub, start, end, false, 'find'),
  ),
  builtin('rfind(self, sub, start?, end?, /)', (self: Value, sub: Value, start?: Value, end?: Value) =>
    find(self, sub, start, end, true, 'rfind'),
  ),
  builtin('index(self, sub, start?, end?, /)', (self: Value, sub: Value, start?: Value, end?: Value) =>
    found(find(self, sub, start, end, false, 'index')),
  ),
  builtin('rindex(self, sub, start?, end?, /)', (self: Value, sub: Value, start?: Value, end?: Value) =>
    found(find(self, sub, start, end, true, 'rindex')),
  ),
  builtin('count(self, sub, start?, end?, /)', (self: Value, sub: Value, start?: Value, end?: Value) => {
    const whole = text(self, 'count');
    const range = window(whole, start, end);
    return range ? count(whole.slice(range.from, range.to), text(sub, 'count')) : 0;
  }),
  builtin('replace(self, old, new, count?, /)', (self: Value, old: Value, replacement: Value, limit?: Value) =>
    replaceText(text(self, 'replace'), text(old, 'replace'), text(replacement, 'replace'), integer(limit, -1)),
  ),
  builtin('startswith(self, prefix, start?, end?, /)', (self: Value, parts: Value, start?: Value, end?: Value) =>
    affix(self, parts, start, end, 'startswith'),
  ),
  builtin('endswith(self, suffix, start?, end?, /)', (self: Value, parts: Value, start?: Value, end?: Value) =>
    affix(self, parts, start, end, 'endswith'),
  ),
  builtin('removeprefix(self, prefix, /)', (self: Value, prefix: Value) => {
    const [whole, part] = [text(self, 'removeprefix'), text(prefix, 'removeprefix')];
    return whole.startsWith(part) ? whole.slice(part.length) : whole;
  }),
  builtin('removesuffix(self, suffix, /)', (self: Value, suffix: Value) => {
    const [whole, part] = [text(self, 'removesuffix'), text(suffix, 'removesuffix')];
    return part !== '' && whole.endsWith(part) ? whole.slice(0, -part.length) : whole;
  }),
  builtin('center(self, width, fillchar?, /)', (self: Value, width: Value, fill?: Value) =>
    pad(self, width, fill, 'both'),
  ),
  builtin('ljust(self, width, fillchar?, /)', (self: Value, width: Value, fill?: Value) =>
    pad(self, width, fill, 'right'),
  ),
  builtin('rjust(self, width, fillchar?, /)', (self: Value, width: Value, fill?: Value) =>
    pad(self, width, fill, 'left'),
  ),
  builtin('zfill(self, width, /)', zeroFill),
  builtin('expandtabs(self, tabsize?)', expandTabs),
  builtin('join(self, iterable, /)', join),
  builtin('translate(self, table, /)', translate),
]);

/** Methods whose result is text of the same kind: marked where their object is. */
export const TEXT_RESULTS: ReadonlySet<string> = new Set(
  'upper lower casefold title capitalize swapcase strip lstrip rstrip replace removeprefix removesuffix center ljust rjust zfill expandtabs join translate'.split(
    ' ',
  ),
);
