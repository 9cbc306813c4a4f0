/** Python's view of text: code points, its own idea of white space, lines and letters' case. */

import { mapCharacters, TextBuilder } from './builder';
import { spendParts, spendText } from './fuel';

/** What `str.isspace` and `\s` of Python's `re` match, as a class of a regular expression. */
export const PYTHON_SPACE = '[\\t-\\r\\x1c-\\x1f \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]';

export const NOT_PYTHON_SPACE = `[^${PYTHON_SPACE.slice(1)}`;

const SURROGATE = /[\ud800-\udfff]/;
const START_SPACES = new RegExp(`^${PYTHON_SPACE}+`);
const SPACE_RUN = new RegExp(`${PYTHON_SPACE}+`);
const SPACE = new RegExp(`^${PYTHON_SPACE}$`);

export function isSpace(character: string): boolean {
  const code = character.charCodeAt(0);
  if (code < 0x80) return code === 0x20 || (code >= 9 && code <= 13) || (code >= 0x1c && code <= 0x1f);
  return SPACE.test(character);
}

/** Whether every UTF-16 unit is a code point. */
export function isSimple(text: string): boolean {
  return !SURROGATE.test(text);
}

/** All characters at once, which takes memory: for short texts. */
export function codePoints(text: string): string[] {
  spendParts(text.length);
  return isSimple(text) ? text.split('') : Array.from(text);
}

export function textLength(text: string): number {
  if (isSimple(text)) return text.length;
  let count = 0;
  for (let i = 0; i < text.length; i++, count++) if (text.codePointAt(i)! > 0xffff) i++;
  return count;
}

/** `text[index]`, or undefined where there is none; a negative index counts from the end. */
export function codePointAt(text: string, index: number): string | undefined {
  if (isSimple(text)) return text[index < 0 ? index + text.length : index];
  const place = index < 0 ? index + textLength(text) : index;
  const offset = place < 0 ? text.length : offsetOf(text, place);
  return offset < text.length ? String.fromCodePoint(text.codePointAt(offset)!) : undefined;
}

/** The UTF-16 offset of a code point; that of the end where there are fewer. */
export function offsetOf(text: string, index: number): number {
  if (isSimple(text)) return Math.min(index, text.length);
  let offset = 0;
  for (let i = 0; i < index && offset < text.length; i++) offset += text.codePointAt(offset)! > 0xffff ? 2 : 1;
  return offset;
}

/** The characters from the last to the first. */
export function reverseText(text: string): string {
  const builder = new TextBuilder();
  for (let end = text.length; end > 0;) {
    const isPair = end > 1 && text.codePointAt(end - 2)! > 0xffff;
    const start = end - (isPair ? 2 : 1);
    builder.add(text.slice(start, end));
    end = start;
  }
  return builder.finish();
}

export function stripStart(text: string, characters?: string): string {
  if (characters === undefined) return text.replace(START_SPACES, '');
  const set = new Set(codePoints(characters));
  let start = 0;
  while (start < text.length) {
    const character = String.fromCodePoint(text.codePointAt(start)!);
    if (!set.has(character)) break;
    start += character.length;
  }
  return text.slice(start);
}

export function stripEnd(text: string, characters?: string): string {
  let end = text.length;
  if (characters === undefined) {
    while (end > 0 && isSpace(text[end - 1]!)) end--;
    return text.slice(0, end);
  }
  const set = new Set(codePoints(characters));
  while (end > 0) {
    const pair = end > 1 ? text.slice(end - 2, end) : '';
    const character = pair !== '' && pair.codePointAt(0)! > 0xffff ? pair : text[end - 1]!;
    if (!set.has(character)) break;
    end -= character.length;
  }
  return text.slice(0, end);
}

/** `str.split()`: words between runs of white space, at most `limit` cuts from the left; the rest keeps its end. */
export function splitSpaces(text: string, limit: number): string[] {
  const words: string[] = [];
  let rest = stripStart(text);
  while (rest !== '' && (limit < 0 || words.length < limit)) {
    const space = SPACE_RUN.exec(rest);
    if (!space) break;
    spendParts();
    words.push(rest.slice(0, space.index));
    rest = rest.slice(space.index + space[0].length);
  }
  if (rest !== '') words.push(rest);
  return words;
}

/** `str.rsplit()`: the same from the right. */
export function splitSpacesFromEnd(text: string, limit: number): string[] {
  const words: string[] = [];
  let rest = stripEnd(text);
  while (rest !== '' && (limit < 0 || words.length < limit)) {
    let start = rest.length;
    while (start > 0 && !isSpace(rest[start - 1]!)) start--;
    if (start === 0) break;
    spendParts();
    words.push(rest.slice(start));
    rest = stripEnd(rest.slice(0, start));
  }
  if (rest !== '') words.push(rest);
  return words.reverse();
}

const LINE_END_CHARACTERS = '\\n\\r\\v\\f\\x1c-\\x1e\\x85\\u2028\\u2029';
const LINE_END = new RegExp(`\\r\\n|[${LINE_END_CHARACTERS}]`, 'g');

/** `str.splitlines`. */
export function splitLines(text: string, keepEnds = false): string[] {
  const lines: string[] = [];
  let start = 0;
  for (const end of text.matchAll(LINE_END)) {
    spendParts();
    const next = end.index + end[0].length;
    lines.push(text.slice(start, keepEnds ? next : end.index));
    start = next;
  }
  if (start < text.length) lines.push(text.slice(start));
  return lines;
}

const TITLE_CASE: Readonly<Record<string, string>> = {
  ǆ: 'ǅ',
  ǉ: 'ǈ',
  ǌ: 'ǋ',
  ǳ: 'ǲ',
  ß: 'Ss',
  ﬁ: 'Fi',
  ﬂ: 'Fl',
  ﬀ: 'Ff',
};

/** A character at the head of a word. */
export function titleCase(character: string): string {
  return TITLE_CASE[character.toLowerCase()] ?? character.toUpperCase();
}

export function capitalize(text: string): string {
  const first = text === '' ? '' : String.fromCodePoint(text.codePointAt(0)!);
  return titleCase(first) + toLower(text.slice(first.length));
}

export function toLower(text: string): string {
  return changeCase(text, (part) => part.toLowerCase());
}

export function toUpper(text: string): string {
  return changeCase(text, (part) => part.toUpperCase());
}

/** One character may become three. */
function changeCase(text: string, change: (text: string) => string): string {
  spendText(text.length);
  const changed = change(text);
  if (changed.length > text.length) spendText(changed.length);
  return changed;
}

const CASED = /[\p{Uppercase}\p{Lowercase}\p{Lt}]/u;

/** `str.title`: every cased character after one that isn't begins a word. */
export function toTitle(text: string): string {
  let after = false;
  return mapCharacters(text, (character) => {
    const changed = after ? character.toLowerCase() : titleCase(character);
    after = CASED.test(character);
    return changed;
  });
}

export function swapCase(text: string): string {
  return mapCharacters(text, (c) => (/\p{Lu}/u.test(c) ? c.toLowerCase() : /\p{Ll}/u.test(c) ? c.toUpperCase() : c));
}

export function isLower(text: string): boolean {
  return /\p{Lowercase}/u.test(text) && !/[\p{Uppercase}\p{Lt}]/u.test(text);
}

export function isUpper(text: string): boolean {
  return /\p{Uppercase}/u.test(text) && !/[\p{Lowercase}\p{Lt}]/u.test(text);
}

/** `str.istitle`. */
export function isTitle(text: string): boolean {
  let cased = false;
  let after = false;
  for (const character of text) {
    if (/[\p{Lu}\p{Lt}]/u.test(character)) {
      if (after) return false;
      after = cased = true;
    } else if (/\p{Ll}/u.test(character)) {
      if (!after) return false;
      cased = true;
    } else {
      after = false;
    }
  }
  return cased;
}

/** Whether `a` sorts before `b` by code points, as Python compares text: below, at or above 0. */
export function compareText(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  let at = 0;
  while (at < length && a.charCodeAt(at) === b.charCodeAt(at)) at++;
  if (at === length) return a.length - b.length;
  // A character of two units may differ in its second one.
  const start = at > 0 && (a.codePointAt(at - 1)! > 0xffff || b.codePointAt(at - 1)! > 0xffff) ? at - 1 : at;
  return a.codePointAt(start)! - b.codePointAt(start)!;
}
