/** Filters on text. */
import { operate } from '../arithmetic';
import { sortValues } from '../compare';
import { JinjaError } from '../errors';
import { spendReading, spendText } from '../fuel';
import { builtin, type Builtin } from '../functions';
import { toJson } from '../json';
import { escapeMarkup, escapeText } from '../markup';
import { joinAll, padText, replaceText } from '../methods/strings';
import { toRepr, toText } from '../printing';
import { codePoints, capitalize, splitLines, stripEnd, stripStart, textLength, PYTHON_SPACE } from '../text';
import {
  dictPairs,
  Dict,
  isDict,
  isList,
  isText,
  isTrue,
  itemsOf,
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

const WORD_BREAKS = new RegExp(`((?:[-({\\[<]|${PYTHON_SPACE})+)`);

function title(text: string): string {
  return text
    .split(WORD_BREAKS)
    .map((part) => {
      const first = codePoints(part)[0] ?? '';
      return first.toUpperCase() + part.slice(first.length).toLowerCase();
    })
    .join('');
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
  const items = itemsOf(value);
  if (!items) throw new JinjaError(`object of type '${typeName(value)}' has no len()`);
  if (items.length <= length + slack) return value;
  const head = codePoints(strictText(value, 'truncate'))
    .slice(0, length - textLength(end))
    .join('');
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
  spendReading(8);
  if (isList(value)) return value.map(sortKeys);
  if (value instanceof Tuple) return new Tuple(value.items.map(sortKeys));
  if (!isDict(value)) return value;
  const pairs = sortValues(dictPairs(value), ([key]) => toText(key), false);
  return new Dict(pairs.map(([key, item]) => [key, sortKeys(item)] as const));
}

function quoteUrl(value: Value, forQuery: boolean): string {
  spendReading(8 * toText(value).length);
  const unreserved = forQuery ? /[A-Za-z0-9_.~-]/ : /[A-Za-z0-9_.~/-]/;
  const quoted = Array.from(new TextEncoder().encode(toText(value)), (byte) => {
    const character = String.fromCharCode(byte);
    return unreserved.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }).join('');
  return forQuery ? quoted.replaceAll('%20', '+') : quoted;
}

function urlencode(value: Value): string {
  const items = isText(value) ? undefined : isDict(value) ? dictPairs(value) : itemsOf(value)?.map(listOf);
  if (!items) return quoteUrl(value, false);
  return items
    .map(([key, item, ...more]) => {
      if (key === undefined || item === undefined || more.length > 0) throw new JinjaError('a query is made of pairs');
      return `${quoteUrl(key, true)}=${quoteUrl(item, true)}`;
    })
    .join('&');
}

function xmlattr(value: Value, autospace: Argument): string {
  if (!isDict(value)) throw new JinjaError(`'${typeName(value)}' object has no attribute 'items'`);
  const parts = dictPairs(value).flatMap(([key, item]) => {
    if (item === null || item instanceof Undefined) return [];
    if (/[\s/>=]/.test(toText(key))) throw new JinjaError(`Invalid character in attribute name: ${toRepr(key)}`);
    return [`${escapeMarkup(key)}="${escapeMarkup(item)}"`];
  });
  const text = parts.join(' ');
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
  let kept = '';
  let from = 0;
  for (;;) {
    const start = text.indexOf(open, from);
    const end = start < 0 ? -1 : text.indexOf(close, start + open.length);
    if (end < 0) return kept + text.slice(from);
    kept += text.slice(from, start);
    from = end + close.length;
  }
}

function striptags(value: Value): string {
  const text = removeBetween(removeBetween(toText(value), '<!--', '-->'), '<', '>');
  const words = text.split(new RegExp(`${PYTHON_SPACE}+`)).filter((word) => word !== '');
  return words.join(' ').replace(/&(?:#(\d+)|#[xX]([\da-fA-F]+)|([a-z]+));/g, (entity, decimal, hex, name) => {
    if (name !== undefined) return HTML_ENTITIES[String(name)] ?? entity;
    const code = decimal !== undefined ? Number(decimal) : parseInt(String(hex), 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : '\ufffd';
  });
}

/** A filter that is a method of str, on the text of any value. */
function likeMethod(name: string, change: (text: string) => string): Builtin {
  return builtin(`${name}(value)`, (value: Value) => changeText(value, change));
}

const WORD = /[\p{L}\p{N}_]+/gu;

export const TEXT_FILTERS: readonly Builtin[] = [
  likeMethod('upper', (text) => text.toUpperCase()),
  likeMethod('lower', (text) => text.toLowerCase()),
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
  builtin('wordcount(value)', (value: Value) => toText(value).match(WORD)?.length ?? 0),
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
