/** Filters on text. */
import { operate } from '../arithmetic';
import { sortValues } from '../compare';
import { JinjaError } from '../errors';
import { mapCharacters, replaceMatches, TextBuilder } from '../builder';
import { CHANGE, spendSteps, spendText } from '../fuel';
import { builtin, type Builtin } from '../functions';
import { toJson } from '../json';
import { escapeMarkup, escapeText } from '../markup';
import { joinAll, padText, replaceText } from '../methods/strings';
import { toRepr, toText } from '../printing';
import {
  capitalize,
  offsetOf,
  PYTHON_SPACE,
  splitLines,
  splitSpaces,
  stripEnd,
  stripStart,
  textLength,
  toLower,
  toUpper,
} from '../text';
import {
  dictPairs,
  Dict,
  isDict,
  isList,
  isText,
  isTrue,
  itemsOf,
  lengthOf,
  listOf,
  Markup,
  textOf,
  Tuple,
  typeName,
  Undefined,
  type CallArguments,
  type Value,
} from '../values';
import { changeText, flag, integer, strictText, type Argument } from './arguments';
import { wrapText } from './wrap';

const WORD_BREAKS = new RegExp(`(?:[-({\\[<]|${PYTHON_SPACE})+`, 'g');

function title(text: string): string {
  const builder = new TextBuilder();
  const add = (word: string) => {
    const first = word === '' ? '' : String.fromCodePoint(word.codePointAt(0)!);
    builder.add(first.toUpperCase());
    builder.add(word.slice(first.length).toLowerCase());
  };
  let end = 0;
  for (const found of text.matchAll(WORD_BREAKS)) {
    spendSteps();
    add(text.slice(end, found.index));
    builder.add(found[0]);
    end = found.index + found[0].length;
  }
  add(text.slice(end));
  return builder.finish();
}

function spaces(count: number): string {
  spendText(Math.max(0, count));
  return ' '.repeat(Math.max(0, count));
}

function indent(value: Value, width: Argument, first: Argument, blank: Argument): Value {
  const text = strictText(value, 'indent');
  const by = textOf(width) ?? spaces(integer(width, 4));
  // What jinja2 adds before it takes the text apart: a last line that is empty is one, too.
  const lines = splitLines(`${text}\n`);
  spendText(text.length + lines.length * by.length);
  const indented = lines
    .map((line, i) => (flag(blank) ? (i === 0 ? line : by + line) : i > 0 && line !== '' ? by + line : line))
    .join('\n');
  const result = flag(first) ? by + indented : indented;
  return value instanceof Markup ? new Markup(result) : result;
}

function truncate(
  value: Value,
  lengthArgument: Argument,
  killWords: Argument,
  endArgument: Argument,
  leeway: Argument,
): Value {
  const length = integer(lengthArgument, 255);
  const end = endArgument === undefined ? '...' : strictText(endArgument, 'truncate');
  const slack = leeway === undefined || leeway === null ? 5 : integer(leeway, 5);
  if (length < textLength(end)) throw new JinjaError(`expected length >= ${textLength(end)}, got ${length}`);
  if (slack < 0) throw new JinjaError(`expected leeway >= 0, got ${slack}`);
  if (lengthOf(value) <= length + slack) return value;
  const text = strictText(value, 'truncate');
  const head = text.slice(0, offsetOf(text, length - textLength(end)));
  const space = flag(killWords) ? -1 : head.lastIndexOf(' ');
  return (space < 0 ? head : head.slice(0, space)) + end;
}

export function formatFilter(value: Value, { positional, named }: CallArguments): Value {
  if (positional.length > 0 && named.size > 0) {
    throw new JinjaError("can't handle positional and keyword arguments at the same time");
  }
  const text = isText(value) ? value : toText(value);
  return operate('%', text, named.size > 0 ? new Dict(named) : new Tuple([...positional]));
}

function tojson(
  value: Value,
  ensureAscii: Argument,
  indentation: Argument,
  separators: Argument,
  sorted: Argument,
): string {
  const width = indentation === undefined || indentation === null ? undefined : indentation;
  const step = width === undefined ? undefined : (textOf(width) ?? spaces(integer(width, 0)));
  const pair = separators === undefined || separators === null ? undefined : listOf(separators);
  if (pair && pair.length !== 2) throw new JinjaError('separators must be two texts');
  return toJson(value, {
    indent: step,
    separators: {
      item: pair ? strictText(pair[0], 'tojson') : step === undefined ? ', ' : ',',
      key: pair ? strictText(pair[1], 'tojson') : ': ',
    },
    ensureAscii: flag(ensureAscii),
    sortKeys: flag(sorted),
  });
}

/** Dicts by their keys, as `pprint` shows them. */
function sortKeys(value: Value): Value {
  spendSteps(2);
  if (isList(value)) return value.map(sortKeys);
  if (value instanceof Tuple) return new Tuple(value.items.map(sortKeys));
  if (!isDict(value)) return value;
  const pairs = sortValues(dictPairs(value), ([key]) => toText(key), false);
  return new Dict(pairs.map(([key, item]) => [key, sortKeys(item)] as const));
}

const BYTES_IN_URLS: readonly string[] = Array.from({ length: 256 }, (_, byte) => {
  const character = String.fromCharCode(byte);
  return /[A-Za-z0-9_.~/-]/.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
});

function quoteUrl(value: Value, forQuery: boolean): string {
  return mapCharacters(toText(value), (character) => {
    if (forQuery && character === ' ') return '+';
    if (forQuery && character === '/') return '%2F';
    if (character < '\x80') return BYTES_IN_URLS[character.charCodeAt(0)]!;
    return quoteCode(character.codePointAt(0)!);
  });
}

/** The UTF-8 of a character that isn't ASCII; half a character is an unknown one. */
function quoteCode(code: number): string {
  const quoteRest = (shift: number) => BYTES_IN_URLS[0x80 | ((code >> shift) & 0x3f)]!;
  if (code < 0x800) return BYTES_IN_URLS[0xc0 | (code >> 6)]! + quoteRest(0);
  if (code >= 0xd800 && code < 0xe000) return '%EF%BF%BD';
  if (code < 0x10000) return BYTES_IN_URLS[0xe0 | (code >> 12)]! + quoteRest(6) + quoteRest(0);
  return BYTES_IN_URLS[0xf0 | (code >> 18)]! + quoteRest(12) + quoteRest(6) + quoteRest(0);
}

function urlencode(value: Value): string {
  const items = isText(value) ? undefined : isDict(value) ? dictPairs(value) : itemsOf(value)?.map(listOf);
  if (!items) return quoteUrl(value, false);
  const pairs = items.map(([key, item, ...more]) => {
    if (key === undefined || item === undefined || more.length > 0) throw new JinjaError('a query is made of pairs');
    return `${quoteUrl(key, true)}=${quoteUrl(item, true)}`;
  });
  return joinAll(pairs, '&');
}

function xmlattr(value: Value, autospace: Argument): string {
  if (!isDict(value)) throw new JinjaError(`'${typeName(value)}' object has no attribute 'items'`);
  const parts = dictPairs(value).flatMap(([key, item]) => {
    if (item === null || item instanceof Undefined) return [];
    if (/[\s/>=]/.test(toText(key))) throw new JinjaError(`Invalid character in attribute name: ${toRepr(key)}`);
    return [`${escapeMarkup(key)}="${escapeMarkup(item)}"`];
  });
  const text = joinAll(parts, ' ');
  return text !== '' && (autospace === undefined || isTrue(autospace)) ? ` ${text}` : text;
}

const HTML_ENTITIES: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  nbsp: '\xa0',
};

/** The text without what stands between `open` and the next `close`, and without them. */
function removeBetween(text: string, open: string, close: string): string {
  const kept = new TextBuilder();
  let from = 0;
  for (;;) {
    const start = text.indexOf(open, from);
    const end = start < 0 ? -1 : text.indexOf(close, start + open.length);
    spendSteps();
    kept.add(end < 0 ? text.slice(from) : text.slice(from, start));
    if (end < 0) return kept.finish();
    from = end + close.length;
  }
}

const ENTITY = /&(?:#(\d+)|#[xX]([\da-fA-F]+)|([a-z]+));/g;

function striptags(value: Value): string {
  const text = removeBetween(removeBetween(toText(value), '<!--', '-->'), '<', '>');
  const words = joinAll(splitSpaces(text, -1), ' ');
  return replaceMatches(words, ENTITY, ([entity, decimal, hex, name]) => {
    if (name !== undefined) return HTML_ENTITIES[name] ?? entity;
    const code = decimal !== undefined ? Number(decimal) : parseInt(String(hex), 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : '\ufffd';
  });
}

/** A filter that is a method of str, on the text of any value. */
function likeMethod(name: string, change: (text: string) => string): Builtin {
  return builtin(`${name}(value)`, (value: Value) => changeText(value, change), CHANGE);
}

function countWords(text: string): number {
  const words = text.matchAll(WORD);
  let count = 0;
  while (!words.next().done) {
    spendSteps(2);
    count++;
  }
  return count;
}

const WORD = /[\p{L}\p{N}_]+/gu;

export const TEXT_FILTERS: readonly Builtin[] = [
  likeMethod('upper', toUpper),
  likeMethod('lower', toLower),
  likeMethod('capitalize', capitalize),
  builtin('title(value)', (value: Value) => title(toText(value))),
  builtin('trim(value, chars?)', (value: Value, chars?: Value) => {
    const set = chars === undefined || chars === null ? undefined : strictText(chars, 'trim');
    return changeText(value, (text) => stripEnd(stripStart(text, set), set));
  }),
  builtin('center(value, width?)', (value: Value, width?: Value) =>
    changeText(value, (text) => padText(text, integer(width, 80), ' ', 'both')),
  ),
  builtin('string(value)', (value: Value) => (isText(value) ? value : toText(value))),
  builtin('replace(value, old, new, count?)', (value: Value, old: Value, replacement: Value, count?: Value) =>
    replaceText(toText(value), toText(old), toText(replacement), count === null ? -1 : integer(count, -1)),
  ),
  builtin('indent(value, width?, first?, blank?)', indent),
  builtin('truncate(value, length?, killwords?, end?, leeway?)', truncate),
  builtin(
    'wordwrap(value, width?, break_long_words?, wrapstring?, break_on_hyphens?)',
    (value: Value, width?: Value, breakLong?: Value, wrapString?: Value, breakHyphens?: Value) => {
      const newline = wrapString === undefined || wrapString === null ? '\n' : strictText(wrapString, 'wordwrap');
      const options = {
        width: integer(width, 79),
        breakLongWords: breakLong === undefined || isTrue(breakLong),
        breakOnHyphens: breakHyphens === undefined || isTrue(breakHyphens),
      };
      const lines = splitLines(strictText(value, 'wordwrap'));
      return joinAll(
        lines.map((line) => joinAll(wrapText(line, options), newline)),
        newline,
      );
    },
  ),
  builtin('wordcount(value)', (value: Value) => countWords(toText(value)), CHANGE),
  builtin('escape(value)', (value: Value) => new Markup(escapeMarkup(value))),
  builtin('e(value)', (value: Value) => new Markup(escapeMarkup(value))),
  builtin('forceescape(value)', (value: Value) => new Markup(escapeText(toText(value)))),
  builtin('safe(value)', (value: Value) => new Markup(toText(value))),
  builtin('striptags(value)', striptags),
  builtin('urlencode(value)', urlencode),
  builtin('xmlattr(value, autospace?)', xmlattr),
  builtin('tojson(x, ensure_ascii?, indent?, separators?, sort_keys?)', tojson),
  builtin('pprint(value)', (value: Value) => toRepr(sortKeys(value))),
];
