/** Where JSON breaks and how: `JSON.parse` says so in words that differ by browser, or not at all. */
import { quote } from '../core/format';

const TOKEN =
  /("(?:[ !#-[\]-\u{10ffff}]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null|[[\]{},:])/uy;
const SPACE = /[ \t\n\r]*/y;

/** Offset of the first character that can't belong to a JSON text; the text's length where it ends too early or is fine. */
export function jsonErrorOffset(text: string): number {
  /** What may come next: a value, a value or `]`, a key, a key or `}`, a colon, a comma or the closing bracket, the end. */
  let state: 'value' | 'value]' | 'key' | 'key}' | ':' | ',' | 'end' = 'value';
  const open: string[] = [];
  let offset = 0;
  const afterValue = () => (open.length > 0 ? ',' : 'end');
  for (;;) {
    SPACE.lastIndex = offset;
    SPACE.exec(text);
    const start = SPACE.lastIndex;
    TOKEN.lastIndex = start;
    const token = TOKEN.exec(text)?.[1];
    if (token === undefined) return start;
    offset = TOKEN.lastIndex;
    const inObject = open.at(-1) === '{';
    const isKey = token.startsWith('"') && (state === 'key' || state === 'key}');
    if (isKey) state = ':';
    else if (token === ':' && state === ':') state = 'value';
    else if (token === ',' && state === ',') state = inObject ? 'key' : 'value';
    else if (closes(token, state, inObject)) {
      open.pop();
      state = afterValue();
    } else if ((state === 'value' || state === 'value]') && !/^[\]},:]$/.test(token)) {
      if (token === '[' || token === '{') open.push(token);
      state = token === '[' ? 'value]' : token === '{' ? 'key}' : afterValue();
    } else return start;
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

/** The first fault of a text that `JSON.parse` refuses. `firstLine` is the number of its first line. */
export function jsonFault(text: string, firstLine = 1): JsonFault {
  const start = jsonErrorOffset(text);
  const { offset, what } =
    text[start] === '"' && !followsValue(text, start) ? stringFault(text, start) : tokenFault(text, start);
  let line = firstLine;
  let lineStart = 0;
  for (let i = 0; i < offset; i++) {
    if (text[i] === '\n' || (text[i] === '\r' && text[i + 1] !== '\n')) {
      line++;
      lineStart = i + 1;
    }
  }
  return { line, column: offset - lineStart + 1, what };
}

/** Whether a string that begins here is well formed, and merely in the wrong place. */
function followsValue(text: string, offset: number): boolean {
  TOKEN.lastIndex = offset;
  return TOKEN.exec(text) !== null;
}

function stringFault(text: string, start: number): { offset: number; what: string } {
  for (let i = start + 1; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20) {
      const name = code === 10 || code === 13 ? 'a line break' : code === 9 ? 'a tab' : 'a control character';
      return { offset: i, what: `${name} inside a text, which must be escaped or whose closing quote is missing` };
    }
    if (text[i] === '\\') {
      if (!/^\\(["\\/bfnrt]|u[0-9a-fA-F]{4})/.test(text.slice(i, i + 6))) {
        if (i + 1 >= text.length) break;
        return { offset: i, what: `${quote(text.slice(i, i + 2))} is not an escape of JSON` };
      }
      i++;
    }
  }
  return { offset: text.length, what: 'it ends too early, inside a text' };
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
