/** Patterns of tokenizer.json, whose regular expressions are Oniguruma's, and the ways to split a text at them. */
import { SplitPreTokenizer } from '@huggingface/tokenizers';
import { GraftError } from '../../core/errors';
import { quote } from '../../core/format';
import type { JsonObject } from '../json';
import { SafeRegExp } from '../regex';

/** Gets each part of a text and where it starts, in UTF-16 units. Parts are never empty. */
export type Emit = (part: string, start: number) => void;

/** What becomes of the text that a pattern matches: the names are those of tokenizer.json. */
export type Behavior = 'Removed' | 'Isolated' | 'MergedWithPrevious' | 'MergedWithNext' | 'Contiguous';

const BEHAVIORS: readonly string[] = ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'];

/** Oniguruma's white space and word characters: JavaScript's `\s` and `\w` are others. */
export const SPACE = '\\p{White_Space}';
export const WORD = '\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}';

/** @throws `unsupported` for an expression that JavaScript can't say. */
export function compileRegex(source: string): RegExp {
  let pattern: RegExp | null;
  try {
    pattern = new SplitPreTokenizer({ type: 'Split', pattern: { Regex: source }, behavior: 'Isolated', invert: false })
      .pattern;
  } catch (cause) {
    throw new GraftError('unsupported', `The regular expression ${quote(source)} can't be used.`, { cause });
  }
  if (!pattern) throw new GraftError('unsupported', `The regular expression ${quote(source)} can't be used.`);
  return new SafeRegExp(pattern);
}

export function escapeRegex(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}

/** `pattern` of a component: `{"String": …}` or `{"Regex": …}`. */
export function readPattern(component: JsonObject): RegExp {
  const pattern = component.required('pattern', component.object('pattern'));
  const literal = pattern.string('String');
  if (literal !== undefined) return new RegExp(literal === '' ? '(?!)' : escapeRegex(literal), 'gu');
  return compileRegex(pattern.required('Regex', pattern.string('Regex')));
}

export function readBehavior(component: JsonObject, fallback?: Behavior): Behavior {
  const name = component.string('behavior') ?? fallback;
  if (name !== undefined && BEHAVIORS.includes(name)) return name as Behavior;
  throw component.wrong('behavior', `one of ${BEHAVIORS.join(', ')}`);
}

/** Splits `text` as the Rust library's `NormalizedString::split` does. `regex` has the flag `g`. */
export function splitAt(text: string, regex: RegExp, behavior: Behavior, invert: boolean, emit: Emit): void {
  const pattern = regex instanceof SafeRegExp ? regex.forText(text) : regex;
  if (behavior === 'Isolated') return isolate(text, pattern, emit);
  const parts = findParts(text, pattern, invert);
  switch (behavior) {
    case 'Removed':
      for (const part of parts) if (!part.matches) emit(text.slice(part.start, part.end), part.start);
      return;
    case 'Contiguous':
      return emitJoined(text, parts, emit, (part, before) => part.matches === before.matches);
    case 'MergedWithPrevious':
      return emitJoined(text, parts, emit, (part, before) => part.matches && !before.matches);
    case 'MergedWithNext':
      return emitJoined(text, parts, emit, (part, before) => before.matches && !part.matches);
  }
}

interface Part {
  readonly start: number;
  readonly end: number;
  readonly matches: boolean;
}

function isolate(text: string, pattern: RegExp, emit: Emit): void {
  // Most patterns leave nothing between their matches, and then the places follow from the lengths.
  const found = text.match(pattern);
  if (!found) return void (text === '' || emit(text, 0));
  let length = 0;
  let isWhole = true;
  for (const part of found) {
    length += part.length;
    // A pattern that matches between two characters splits there.
    if (part === '') isWhole = false;
  }
  if (length < text.length || !isWhole) {
    return emitParts(text, pattern, emit);
  }
  let start = 0;
  for (const part of found) {
    emit(part, start);
    start += part.length;
  }
}

function emitParts(text: string, pattern: RegExp, emit: Emit): void {
  for (const { start, end } of findParts(text, pattern, false)) if (end > start) emit(text.slice(start, end), start);
}

function findParts(text: string, pattern: RegExp, invert: boolean): Part[] {
  const parts: Part[] = [];
  let end = 0;
  let last = -1;
  for (const match of text.matchAll(pattern)) {
    const matched = match[0].length;
    // Onigmo finds no empty match right behind the match before.
    if (matched === 0 && match.index === last) continue;
    last = match.index + matched;
    if (match.index > end) parts.push({ start: end, end: match.index, matches: invert });
    end = match.index + matched;
    parts.push({ start: match.index, end, matches: !invert });
  }
  if (end < text.length) parts.push({ start: end, end: text.length, matches: invert });
  return parts;
}

/** Emits parts, those as one that `joins` says belong to the part before them. */
function emitJoined(
  text: string,
  parts: readonly Part[],
  emit: Emit,
  joins: (part: Part, before: Part) => boolean,
): void {
  let start = 0;
  parts.forEach((part, i) => {
    const next = parts[i + 1];
    if (next && joins(next, part)) return;
    if (part.end > start) emit(text.slice(start, part.end), start);
    start = part.end;
  });
}
