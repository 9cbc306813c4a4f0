/**
 * Text to ids: added tokens are found first, then what lies between them is normalized, cut into words, and each word is
 * given to the model. The order and the rules are those of the Rust library; the words and the pieces between added
 * tokens that come again are looked up.
 */
import type { JsonObject } from '../json';
import { assignIds, readAddedTokens, TokenFinder, type AddedToken, type Segment } from './added-tokens';
import { countBytes, isByteName, spellBytes } from './bytes';
import { IdCache } from './cache';
import { readModel } from './model';
import { prependedLength, readNormalizer, stripsStart, type Normalizer } from './normalizers';
import { SPACE } from './patterns';
import { readPreTokenizer, type Place, type PreTokenizer } from './pre-tokenizers';
import type { Model, Vocabulary } from './types';

/** Characters and ids of each generation; a few dozen MB in all. */
const WORD_CACHE = 2 ** 20;
const PIECE_CACHE = 2 ** 20;

/** Longer words are not kept: they hardly come again. */
const LONGEST_KEPT_WORD = 256;

/** Shorter pieces are not kept: their words are. */
const SHORTEST_KEPT_PIECE = 24;

const SPACE_AT_START = new RegExp(`^${SPACE}`, 'u');

/** A piece of a text, cut: added tokens of normalized text, and words between them. */
export interface Piece {
  /** The normalized text. */
  readonly text: string;
  readonly ids: readonly number[];
  readonly parts: readonly PiecePart[];
}

/** An added token in normalized text, or the words between two. */
export interface PiecePart extends Segment {
  /** Ids of the piece before this part. */
  readonly before: number;
  /** Ids of the piece up to its end. */
  readonly after: number;
  /** Whether the whole text begins with it. */
  readonly isFirst: boolean;
  /** Absent for an added token. */
  readonly words?: Words;
}

/** The words of a text in the order of their offsets. */
export class Words {
  readonly starts: number[] = [];
  /** How many stages of the pre-tokenizer have a piece before the word that reaches into it: 0 where none does. */
  readonly levels: number[] = [];
  /** Ids before the word, counted from the first. */
  readonly before: number[] = [];
}

export class TextEncoderOfModel {
  readonly vocabulary: Vocabulary;
  private readonly rawTokens: TokenFinder;
  private readonly normalizedTokens: TokenFinder | undefined;
  readonly addedTokens: readonly AddedToken[];
  private readonly normalizer: Normalizer | undefined;
  private readonly prepended: number;
  private readonly stripsStart: boolean;
  private readonly preTokenizer: PreTokenizer;
  private readonly model: Model;
  private tokenBytes: Map<number, number> | undefined;
  private readonly words = new IdCache(WORD_CACHE);
  private readonly pieces = { first: new IdCache(PIECE_CACHE), later: new IdCache(PIECE_CACHE) };

  constructor(tokenizer: JsonObject) {
    const normalizer = tokenizer.object('normalizer');
    this.normalizer = readNormalizer(normalizer);
    this.prepended = prependedLength(normalizer);
    this.stripsStart = stripsStart(normalizer);
    this.preTokenizer = readPreTokenizer(tokenizer.object('pre_tokenizer'));
    this.model = readModel(tokenizer.required('model', tokenizer.object('model')));
    this.vocabulary = this.model.vocabulary;
    const addedTokens = assignIds(readAddedTokens(tokenizer), this.vocabulary);
    this.addedTokens = addedTokens;
    const ordered = [...addedTokens.filter((token) => token.special), ...addedTokens.filter((token) => !token.special)];
    const normalized = ordered.filter((token) => token.normalized);
    this.rawTokens = new TokenFinder(ordered.filter((token) => !token.normalized));
    this.normalizedTokens =
      normalized.length === 0 ? undefined : new TokenFinder(normalized, (content) => this.normalize(content, false));
  }

  /** Whether a text can be cut again from one of its words on. */
  get canResume(): boolean {
    return this.preTokenizer.canResume;
  }

  /** Whether normalized text is the text itself. */
  get keepsText(): boolean {
    return this.normalizer === undefined;
  }

  encode(text: string): number[] {
    const ids: number[] = [];
    for (const segment of this.split(text)) this.encodeSegment(text, segment, ids);
    return ids;
  }

  /** Added tokens and the pieces between them. */
  split(text: string): Segment[] {
    return this.rawTokens.split(text);
  }

  encodeSegment(text: string, { start, end, id }: Segment, ids: number[]): void {
    if (id !== undefined) ids.push(id);
    else {
      for (const found of this.encodePiece(text.slice(start, end), this.beginsText(text, start))) ids.push(found);
    }
  }

  /** Whether the piece at `start` counts as the begin of the text: not behind white space that goes. */
  beginsText(text: string, start: number): boolean {
    return start === 0 && !(this.stripsStart && SPACE_AT_START.test(text));
  }

  normalize(text: string, inner: boolean): string {
    return this.normalizer ? this.normalizer(text, inner) : text;
  }

  /** A piece with the places of its words. `first`: the text begins with it. */
  cutPiece(text: string, first: boolean): Piece {
    const normalized = this.normalize(text, false);
    const ids: number[] = [];
    const parts = this.splitNormalized(normalized).map((segment): PiecePart => {
      const before = ids.length;
      const isFirst = first && segment.start <= this.prepended;
      if (segment.id !== undefined) {
        ids.push(segment.id);
        return { ...segment, before, after: ids.length, isFirst };
      }
      const words = new Words();
      this.encodeWords(normalized.slice(segment.start, segment.end), { first: isFirst, inner: false }, 0, ids, words);
      return { ...segment, before, after: ids.length, isFirst, words };
    });
    return { text: normalized, ids, parts };
  }

  /** The ids of the rest of a part, from one of its words on. `level` is the word's; `first`: the text begins with it. */
  encodeRest(text: string, level: number, first: boolean): number[] {
    const ids: number[] = [];
    this.encodeWords(text, { first, inner: level > 0 }, level, ids);
    return ids;
  }

  /** Bytes of text that a token of the model spells. */
  bytesOf(id: number): number {
    this.tokenBytes ??= new Map(Array.from(this.vocabulary, ([token, one]) => [one, this.measure(token)]));
    return this.tokenBytes.get(id) ?? 0;
  }

  private measure(token: string): number {
    if (this.preTokenizer.spellsBytes) return token.length;
    return isByteName(token) ? 1 : countBytes(token);
  }

  private encodePiece(text: string, first: boolean): readonly number[] {
    const cache = text.length < SHORTEST_KEPT_PIECE ? undefined : this.pieces[first ? 'first' : 'later'];
    const known = cache?.get(text);
    if (known) return known;
    const ids: number[] = [];
    const normalized = this.normalize(text, false);
    for (const { start, end, id } of this.splitNormalized(normalized)) {
      if (id !== undefined) ids.push(id);
      else {
        const place = { first: first && start <= this.prepended, inner: false };
        this.encodeWords(normalized.slice(start, end), place, 0, ids);
      }
    }
    cache?.set(text, ids);
    return ids;
  }

  private splitNormalized(text: string): Segment[] {
    if (text === '') return [];
    return this.normalizedTokens?.split(text) ?? [{ start: 0, end: text.length }];
  }

  /** `level`: of so many stages the text is the rest of a piece. */
  private encodeWords(text: string, place: Place, level: number, ids: number[], words?: Words): void {
    const begin = ids.length;
    const { prepended } = this;
    const { stages, spellsBytes } = this.preTokenizer;
    // `floor` is where the text of the part begins: what was put before it has no place of its own.
    const cut = (part: string, start: number, floor: number, origin: Place, stage: number, reached: number) => {
      const split = stages[stage];
      if (!split) {
        const seams = spellsBytes ? undefined : this.model.findSeams?.(part);
        let from = 0;
        for (let i = 0; i <= (seams?.length ?? 0); i++) {
          const to = seams?.[i] ?? part.length;
          if (words) {
            words.starts.push(Math.max(floor, start + from));
            words.levels.push(from === 0 ? reached : stages.length + 1);
            words.before.push(ids.length - begin);
          }
          this.encodeWord(from === 0 && to === part.length ? part : part.slice(from, to), ids);
          from = to;
        }
        return;
      }
      const inner = origin.inner && stage < level;
      let isBegun = false;
      split(part, { first: origin.first, inner }, (piece, offset) => {
        // A piece right behind what was put before the text begins where the text does, too, as in the Rust library.
        const next = { first: origin.first && start + offset <= prepended, inner: origin.inner && !isBegun };
        const at = start + offset;
        cut(piece, at, Math.max(floor, at), next, stage + 1, isBegun ? stage + 1 : reached);
        isBegun = true;
      });
    };
    cut(text, 0, 0, place, 0, 0);
  }

  private encodeWord(word: string, ids: number[]): void {
    const known = this.words.get(word);
    if (known) {
      for (const id of known) ids.push(id);
      return;
    }
    const found: number[] = [];
    this.model.encode(this.preTokenizer.spellsBytes ? spellBytes(word) : word, found);
    if (word.length <= LONGEST_KEPT_WORD) this.words.set(word, found);
    for (const id of found) ids.push(id);
  }
}
