/** JSON of files, and where it breaks and how: `JSON.parse` says so in words that differ by browser, or not at all. */
import { quote } from './format';

/** All tokens but strings, which may be too long for a regular expression. */
const TOKEN = /(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null|[[\]{},:])/y;
/** What may follow a backslash, beside u and four digits. */
const ESCAPED = new Set('"\\/bfnrt');
const SPACE = /[ \t\n\r]*/y;

/**
 * Most lists and objects that lie in one another. Real files have a dozen; what reads a value goes into it by recursion,
 * and the stack of a browser's worker ends after some thousand calls.
 */
export const MAX_JSON_DEPTH = 256;

/** The value of a JSON text; undefined where it is none, or nested too deeply: `jsonFault` tells. */
export function parseJson(text: string): unknown {
  return isTooDeep(text) ? undefined : parseDeepJson(text);
}

/** The same at any depth, for values that are checked one by one: only what goes into them needs to be careful. */
export function parseDeepJson(text: string): unknown {
  // Most blank lines: no exception for them.
  if (text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Whether brackets, outside of strings, lie deeper than is read. */
function isTooDeep(text: string): boolean {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x22) i = endOfString(text, i);
    else if (code === 0x5b || code === 0x7b) {
      if (++depth > MAX_JSON_DEPTH) return true;
    } else if (code === 0x5d || code === 0x7d) depth--;
  }
  return false;
}

/** The stretches of a JSON text between its strings, which may be too long for a regular expression. */
export function* betweenStrings(json: string): Generator<string, undefined> {
  for (let from = 0; from < json.length;) {
    const quoted = json.indexOf('"', from);
    const end = quoted < 0 ? json.length : quoted;
    yield json.slice(from, end);
    from = endOfString(json, end) + 1;
  }
  return undefined;
}

/** Offset of the quote that closes the string which the quote at `start` opens; the text's length where none does. */
export function endOfString(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x22) return i;
    if (code === 0x5c) i++;
  }
  return text.length;
}

/**
 * Offset of the first character that can't belong to a JSON text, or lies too deep in it; the text's length where it ends too early or is fine.
 * With `several`, values may follow one another.
 */
export function jsonErrorOffset(text: string, several = false): number {
  return findError(text, several).offset;
}

function findError(text: string, several: boolean): { offset: number; isTooDeep?: boolean } {
  /** What may come next: a value, a value or `]`, a key, a key or `}`, a colon, a comma or the closing bracket, the end. */
  let state: 'value' | 'value]' | 'key' | 'key}' | ':' | ',' | 'end' = 'value';
  const open: string[] = [];
  let offset = 0;
  const afterValue = () => (open.length > 0 ? ',' : several ? 'value' : 'end');
  for (;;) {
    SPACE.lastIndex = offset;
    SPACE.exec(text);
    const start = SPACE.lastIndex;
    const isString = text[start] === '"';
    if (isString) {
      const string = readString(text, start);
      if (string.fault !== undefined) return { offset: start };
      offset = string.end;
    }
    TOKEN.lastIndex = start;
    const token = isString ? '"' : TOKEN.exec(text)?.[1];
    if (token === undefined) return { offset: start };
    if (!isString) offset = TOKEN.lastIndex;
    const inObject = open.at(-1) === '{';
    const isKey = isString && (state === 'key' || state === 'key}');
    if (isKey) state = ':';
    else if (token === ':' && state === ':') state = 'value';
    else if (token === ',' && state === ',') state = inObject ? 'key' : 'value';
    else if (closes(token, state, inObject)) {
      open.pop();
      state = afterValue();
    } else if ((state === 'value' || state === 'value]') && !/^[\]},:]$/.test(token)) {
      if (token === '[' || token === '{') {
        if (open.length === MAX_JSON_DEPTH) return { offset: start, isTooDeep: true };
        open.push(token);
      }
      state = token === '[' ? 'value]' : token === '{' ? 'key}' : afterValue();
    } else return { offset: start };
  }
}

function closes(token: string, state: string, inObject: boolean): boolean {
  if (token === '}') return inObject && (state === ',' || state === 'key}');
  return token === ']' && !inObject && (state === ',' || state === 'value]');
}

/** What people write that JSON lacks, by the word. */
const FOREIGN_WORDS = new Map([
  ['NaN', 'NaN is not JSON, write null'],
  ['Infinity', 'Infinity is not JSON, write null'],
  ['-Infinity', '-Infinity is not JSON, write null'],
  ['None', 'None is Python, JSON has null'],
  ['True', 'True is Python, JSON has true'],
  ['False', 'False is Python, JSON has false'],
  ['undefined', 'undefined is JavaScript, JSON has null'],
]);

/** A place in a text and what is wrong there, to follow `not valid JSON: `. */
export interface JsonFault {
  /** Both from 1; columns in UTF-16 units. */
  readonly line: number;
  readonly column: number;
  readonly what: string;
}

/** The first fault of a text that `JSON.parse` refuses; with `several`, of values one after another. */
export function jsonFault(text: string, several = false): JsonFault {
  const { offset: start, isTooDeep } = findError(text, several);
  const string = text[start] === '"' ? readString(text, start) : undefined;
  const { offset, what } = isTooDeep
    ? { offset: start, what: `more than ${MAX_JSON_DEPTH} lists and objects lie in one another` }
    : string?.fault === undefined
      ? tokenFault(text, start)
      : { offset: string.end, what: string.fault };
  let line = 1;
  let lineStart = 0;
  for (let i = 0; i < offset; i++) {
    if (text[i] === '\n' || (text[i] === '\r' && text[i + 1] !== '\n')) {
      line++;
      lineStart = i + 1;
    }
  }
  return { line, column: offset - lineStart + 1, what };
}

/** Where the string ends that begins at `start`, or what is wrong in it and where. */
function readString(text: string, start: number): { end: number; fault?: string } {
  for (let i = start + 1; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x22) return { end: i + 1 };
    if (code < 0x20) {
      const name = code === 10 || code === 13 ? 'a line break' : code === 9 ? 'a tab' : 'a control character';
      return { end: i, fault: `${name} inside a text, which must be escaped or whose closing quote is missing` };
    }
    if (code !== 0x5c) continue;
    const escaped = text[i + 1] ?? '';
    const isEscape = escaped === 'u' ? /^[0-9a-fA-F]{4}/.test(text.slice(i + 2, i + 6)) : ESCAPED.has(escaped);
    if (!isEscape) {
      if (i + 1 >= text.length) break;
      return { end: i, fault: `${quote(text.slice(i, i + 2))} is not an escape of JSON` };
    }
    i++;
  }
  return { end: text.length, fault: 'it ends too early, inside a text' };
}

function tokenFault(text: string, offset: number): { offset: number; what: string } {
  const rest = text.slice(offset, offset + 40);
  const before = /(\S)\s*$/.exec(text.slice(Math.max(0, offset - 200), offset))?.[1];
  const at = (what: string) => ({ offset, what });
  if (rest.trim() === '') return at('it ends too early');
  const word = /^-?[\p{L}_$][\p{L}\d_$]*/u.exec(rest)?.[0];
  const foreign = FOREIGN_WORDS.get(word ?? '');
  if (foreign !== undefined) return at(foreign);
  if (rest.startsWith("'")) return at('single quotes, but JSON wants double quotes');
  if (/^[\u201c\u201d\u2018\u2019\u00ab]/.test(rest)) return at('curly quotes, but JSON wants straight double quotes');
  if (/^(\/\/|\/\*|#)/.test(rest)) return at('a comment, which JSON has none of');
  if (/^[}\]]/.test(rest) && before === ',') return at(`a comma before ${quote(rest[0])}, which JSON does not allow`);
  if (word !== undefined && (before === '{' || before === ',') && /^[^,}\]]*:/.test(rest)) {
    return at(`the field name ${quote(word)} has no double quotes`);
  }
  if (rest.startsWith(',') && rest.trim() === ',') return at('a comma after the row, where JSONL has none');
  return at(`unexpected ${quote(word ?? rest.slice(0, 20))}`);
}
