/** Byte-pair encoding: characters that merges join. Sennrich et al. 2016, with the Rust library's options. */
import { GraftError } from '../../core/errors';
import { quote } from '../../core/format';
import type { JsonObject } from '../json';
import { ALL_BYTES, isByteName, nameBytes } from './bytes';
import { mergeSymbols, PairTable } from './merges';
import type { Model, Vocabulary } from './types';

/** SentencePiece's mark for a space. */
const MARK = '\u2581';

/** Parts between marks that are longer than this are cut further where that is safe. */
const LONG_PART = 64;

export function readBpe(config: JsonObject, vocabulary: Vocabulary): Model {
  if (config.get('dropout') !== undefined && config.get('dropout') !== 0) {
    throw new GraftError('unsupported', 'its model leaves out merges at random (dropout), which Graft does not');
  }
  const prefix = config.string('continuing_subword_prefix') ?? '';
  const suffix = config.string('end_of_word_suffix') ?? '';
  const ignoresMerges = config.boolean('ignore_merges') ?? false;
  const merges = readMerges(config);
  const table = new PairTable(merges.length);
  merges.forEach(([left, right], rank) => {
    const joined = left + right.slice(prefix.length);
    const idOf = (token: string) => {
      const id = vocabulary.get(token);
      if (id !== undefined) return id;
      throw new GraftError('bad-config', `${config.where}: a merge names ${quote(token)}, which vocab lacks`);
    };
    table.set(idOf(left), idOf(right), rank, idOf(joined));
  });
  const spell = speller(config, vocabulary, prefix, suffix);
  const encode = (word: string, ids: number[]) => {
    const whole = ignoresMerges ? vocabulary.get(word) : undefined;
    if (whole !== undefined) ids.push(whole);
    else for (const id of mergeSymbols(spell(word), table)) ids.push(id);
  };
  // Where the whole word is looked up first, its parts may not be.
  if (prefix !== '' || suffix !== '' || ignoresMerges) return { vocabulary, encode };
  return { vocabulary, encode, findSeams: seamFinder(config, merges, vocabulary) };
}

/** The pairs of a model's `merges`, which are lists of two or, in older files, texts with a space between. */
export function readMerges(config: JsonObject): [string, string][] {
  const list = config.get('merges');
  const isPair = (merge: unknown): merge is [string, string] =>
    Array.isArray(merge) && merge.length === 2 && merge.every((part) => typeof part === 'string');
  if (!Array.isArray(list)) throw config.wrong('merges', 'a list');
  return list.map((merge: unknown): [string, string] => {
    const pair = typeof merge === 'string' ? merge.split(' ') : merge;
    if (!isPair(pair)) {
      throw new GraftError('bad-config', `${config.where}: ${quote(merge)} in merges is not a pair of tokens`);
    }
    return pair;
  });
}

/** The symbols that merging starts from: a character each, or its bytes, or what stands for unknown characters. */
function speller(config: JsonObject, vocabulary: Vocabulary, prefix: string, suffix: string) {
  const fallsBack = config.boolean('byte_fallback') ?? false;
  const fuses = config.boolean('fuse_unk') ?? false;
  const unknownToken = config.string('unk_token');
  const unknown = unknownToken === undefined ? undefined : vocabulary.get(unknownToken);
  const bytesOf = (symbol: string): number[] | undefined => {
    const ids = nameBytes(symbol).map((name) => vocabulary.get(name));
    return ids.every((id) => id !== undefined) ? ids : undefined;
  };
  return (word: string): number[] => {
    const symbols: number[] = [];
    let isUnknownPending = false;
    for (let at = 0; at < word.length;) {
      const length = word.codePointAt(at)! > 0xffff ? 2 : 1;
      let symbol = word.slice(at, at + length);
      if (at > 0) symbol = prefix + symbol;
      at += length;
      if (at >= word.length) symbol += suffix;
      const id = vocabulary.get(symbol);
      const bytes = id === undefined && fallsBack ? bytesOf(symbol) : undefined;
      if (bytes) {
        symbols.push(...bytes);
      } else if (id !== undefined) {
        if (isUnknownPending) symbols.push(unknown!);
        isUnknownPending = false;
        symbols.push(id);
      } else if (unknownToken !== undefined) {
        if (unknown === undefined) {
          throw new GraftError('bad-config', `${config.where}: vocab lacks the unk_token ${quote(unknownToken)}.`);
        }
        if (isUnknownPending && !fuses) symbols.push(unknown);
        isUnknownPending = true;
      }
    }
    if (isUnknownPending) symbols.push(unknown!);
    return symbols;
  };
}

/**
 * Merging never crosses a place between two characters that no merge makes neighbours inside of a token, so the text can
 * be cut there: at most marks of spaces, which SentencePiece's tokens only begin with. That makes words of a text that
 * has no pre-tokenizer, and words are cached.
 */
function seamFinder(config: JsonObject, merges: readonly [string, string][], vocabulary: Vocabulary) {
  // Bytes that fall back are symbols of several characters.
  if (!vocabulary.has(MARK) || merges.some(([left, right]) => isByteName(left) || isByteName(right))) return () => [];
  const findNeighbours = (tokens: Iterable<string>) => {
    const pairs = new Map<string, Set<string>>();
    for (const token of tokens) {
      let before = '';
      for (const char of token) {
        const after = pairs.get(before);
        if (after) after.add(char);
        else pairs.set(before, new Set([char]));
        before = char;
      }
    }
    return pairs;
  };
  const joined = merges.map(([left, right]) => left + right);
  const withMarks = findNeighbours(joined.filter((token) => token.includes(MARK, 1)));
  // Only long words ask for all of them.
  let all: Map<string, Set<string>> | undefined;
  // Without bytes for it, an unknown character joins unknown neighbours, or vanishes between those that it parts.
  const hasBytes = (config.boolean('byte_fallback') ?? false) && ALL_BYTES.every((name) => vocabulary.has(name));
  const needed = config.string('unk_token') === undefined ? 2 : 1;
  const isKnown = (before: string, after: string) =>
    hasBytes || Number(vocabulary.has(before)) + Number(vocabulary.has(after)) >= needed;
  const isSeam = (before: string, after: string) => {
    const neighbours = after === MARK ? withMarks : (all ??= findNeighbours(joined));
    return isKnown(before, after) && !neighbours.get(before)?.has(after);
  };
  const before = (text: string, at: number) => {
    const low = text.charCodeAt(at - 1);
    return low >= 0xdc00 && low < 0xe000 && at > 1 ? text.slice(at - 2, at) : text.slice(at - 1, at);
  };

  return (text: string): number[] => {
    const seams: number[] = [];
    let last = 0;
    const cutFurther = (end: number) => {
      if (end - last <= LONG_PART) return;
      for (let at = last + 1; at < end; at++) {
        if (text.charCodeAt(at) >= 0xdc00 && text.charCodeAt(at) < 0xe000) continue;
        if (isSeam(before(text, at), String.fromCodePoint(text.codePointAt(at)!))) seams.push(at);
      }
    };
    for (let at = text.indexOf(MARK, 1); at >= 0; at = text.indexOf(MARK, at + 1)) {
      if (text[at - 1] === MARK || !isSeam(before(text, at), MARK)) continue;
      cutFurther(at);
      seams.push(at);
      last = at;
    }
    cutFurther(text.length);
    return seams;
  };
}
