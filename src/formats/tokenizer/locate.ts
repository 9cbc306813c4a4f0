/** Places of a text in tokens. */
import type { TokenPosition } from '../../core/text';
import type { Segment } from './added-tokens';
import { countBytes } from './bytes';
import type { Piece, PiecePart, TextEncoderOfModel, Words } from './encoder';

/**
 * So many words before a place are cut again, for how a text is cut depends on what follows: `\s+(?!\S)` gives the last
 * space of several to the next word.
 */
const WORDS_AGAIN = 4;

/** So far back a better word to begin from is looked for, in UTF-16 units. */
const FAR_BACK = 512;

/**
 * A place in a longer word (UTF-16 units), as in a hundred thousand letters without a space, is found by what the word's
 * tokens spell: the word up to there isn't encoded again, which could give other tokens for its last characters.
 */
const LONG_WORD = 2048;

/** Normalized text is aligned with the text at places about so far apart, in UTF-16 units. */
const CHUNK = 96;

/** No character that begins a chunk is ever composed with the one before it: Hangul's vowels and finals are. */
const CHUNK_START = /[^\P{L}\u1160-\u11ff\ud7b0-\ud7ff]|[0-9]/u;

/**
 * Encodes `text` and finds the places at `offsets`: how many ids of the text before the place have in common with the
 * ids of the whole, and whether it has others besides. What is an added token is decided in the whole text. Only some
 * words before a place are encoded again, so the time is linear in text and places together. Up to each place in it, a text
 * is encoded again whose normalization can't be aligned with it, or whose pre-tokenizer looks back.
 */
export function locate(
  encoder: TextEncoderOfModel,
  text: string,
  offsets: readonly number[],
): { ids: number[]; positions: TokenPosition[] } {
  const ids: number[] = [];
  const positions: TokenPosition[] = [];
  let place = 0;
  for (const segment of encoder.split(text)) {
    const before = ids.length;
    const isIn = (end: number) => place < offsets.length && offsets[place]! <= end;
    for (; isIn(segment.start); place++) positions.push({ before, straddled: false });
    const inside: number[] = [];
    for (; isIn(segment.end - 1); place++) inside.push(offsets[place]!);
    if (segment.id !== undefined) {
      for (const offset of inside) positions.push(placeInToken(segment, offset, before));
    }
    if (segment.id !== undefined || inside.length === 0) {
      encoder.encodeSegment(text, segment, ids);
      continue;
    }
    const piece = new LocatedPiece(
      encoder,
      text.slice(segment.start, segment.end),
      encoder.beginsText(text, segment.start),
    );
    for (const offset of inside) {
      const found = piece.find(offset - segment.start);
      positions.push({ before: before + found.before, straddled: found.straddled });
    }
    for (const id of piece.ids) ids.push(id);
  }
  for (; place < offsets.length; place++) positions.push({ before: ids.length, straddled: false });
  return { ids, positions };
}

/** White space behind a token that takes it is no part of what would be cut. */
function placeInToken(token: Segment, offset: number, before: number): TokenPosition {
  return offset >= token.contentEnd! ? { before: before + 1, straddled: false } : { before, straddled: true };
}

/** A word too long to be encoded again for each place in it. */
interface LongWord {
  readonly start: number;
  /** Ids of the piece before it. */
  readonly first: number;
  /** Bytes of the word up to the end of each token, from 0 on. */
  readonly ends: readonly number[];
  /** Whether the tokens spell the word. */
  readonly isSpelled: boolean;
  /** The last place, and the bytes of the word before it. */
  at: number;
  bytes: number;
}

function measureWord(
  encoder: TextEncoderOfModel,
  word: string,
  start: number,
  ids: readonly number[],
  first: number,
): LongWord {
  const ends = [0];
  for (const id of ids) ends.push(ends.at(-1)! + encoder.bytesOf(id));
  return { start, first, ends, isSpelled: ends.at(-1) === countBytes(word), at: start, bytes: 0 };
}

/** A piece between added tokens, with places in it. */
class LocatedPiece {
  private readonly piece: Piece;
  private readonly partStarts: readonly number[];
  private longWord: LongWord | undefined;
  /** Places where the text and its normalization are aligned; undefined where they can't be. */
  private readonly chunks: { readonly raw: number[]; readonly normalized: number[] } | undefined;

  constructor(
    private readonly encoder: TextEncoderOfModel,
    private readonly text: string,
    private readonly isFirst: boolean,
  ) {
    this.piece = encoder.cutPiece(text, isFirst);
    this.partStarts = this.piece.parts.map(({ start }) => start);
    this.chunks = encoder.keepsText ? undefined : alignChunks(encoder, text, this.piece.text);
  }

  get ids(): readonly number[] {
    return this.piece.ids;
  }

  find(offset: number): TokenPosition {
    const { encoder, piece, text } = this;
    if (!encoder.canResume || (!encoder.keepsText && !this.chunks)) {
      return this.compare(encoder.cutPiece(text.slice(0, offset), this.isFirst).ids, 0);
    }
    // The normalized text up to the place: what the whole has up to `aligned`, then `rest`.
    let aligned = offset;
    let rest = '';
    if (this.chunks) {
      const chunk = lastAtMost(this.chunks.raw, offset);
      aligned = this.chunks.normalized[chunk]!;
      rest = encoder.normalize(text.slice(this.chunks.raw[chunk], offset), chunk > 0);
    }
    const end = aligned + rest.length;
    const part = piece.parts[lastAtMost(this.partStarts, end - 1)];
    if (!part || part.start >= end) return { before: 0, straddled: false };
    if (!part.words) return placeInToken(part, end, part.before);
    const inLongWord = piece.text.startsWith(rest, aligned) ? this.findInLongWord(part, part.words, end) : undefined;
    if (inLongWord) return inLongWord;
    const word = chooseWord(part, part.words, aligned);
    // A part may begin with text that is in no word.
    const start = part.start + (word === 0 ? 0 : part.words.starts[word]!);
    const again = start < aligned ? piece.text.slice(start, aligned) + rest : rest.slice(start - aligned);
    const ids = encoder.encodeRest(again, word === 0 ? 0 : part.words.levels[word]!, part.isFirst && word === 0);
    return this.compare(ids, part.before + (part.words.before[word] ?? 0));
  }

  /** Undefined where the place is in no long word, or its tokens don't spell it: an unknown one stands for any text. */
  private findInLongWord(part: PiecePart, words: Words, place: number): TokenPosition | undefined {
    const { piece } = this;
    const word = lastAtMost(words.starts, place - part.start - 1);
    const start = part.start + (words.starts[word] ?? 0);
    const end = part.start + (words.starts[word + 1] ?? part.end - part.start);
    if (end - start <= LONG_WORD || place <= start) return undefined;
    if (this.longWord?.start !== start) {
      const first = part.before + words.before[word]!;
      const last = word + 1 < words.before.length ? part.before + words.before[word + 1]! : part.after;
      this.longWord = measureWord(
        this.encoder,
        piece.text.slice(start, end),
        start,
        piece.ids.slice(first, last),
        first,
      );
    }
    const { ends, first, isSpelled, at, bytes } = this.longWord;
    if (!isSpelled) return undefined;
    // Places ascend, so the bytes before one are counted on.
    const reached =
      place >= at ? bytes + countBytes(piece.text.slice(at, place)) : countBytes(piece.text.slice(start, place));
    Object.assign(this.longWord, { at: place, bytes: reached });
    const before = lastAtMost(ends, reached);
    return { before: first + before, straddled: ends[before] !== reached };
  }

  /** `ids` against those of the piece from `from` on. */
  private compare(ids: readonly number[], from: number): TokenPosition {
    let same = 0;
    while (same < ids.length && ids[same] === this.piece.ids[from + same]) same++;
    return { before: from + same, straddled: same < ids.length };
  }
}

/** The word of a part from which on the text up to a place is cut again. */
function chooseWord(part: PiecePart, words: Words, place: number): number {
  const { starts } = words;
  let nearest = lastAtMost(starts, place - part.start);
  for (let i = 0; i < WORDS_AGAIN && nearest > 0 && starts[nearest]! - starts[nearest - 1]! <= LONG_WORD; i++)
    nearest--;
  let best = nearest;
  // Best is a word that begins where the first stage of the pre-tokenizer cuts.
  for (let word = nearest; word >= 0 && words.levels[best]! > 1; word--) {
    if (starts[nearest]! - starts[word]! > FAR_BACK) break;
    if (words.levels[word]! < words.levels[best]!) best = word;
  }
  return best;
}

/** Undefined where the normalization of the chunks isn't that of the whole. */
function alignChunks(encoder: TextEncoderOfModel, text: string, whole: string) {
  const raw: number[] = [];
  const normalized: number[] = [];
  let joined = '';
  for (let start = 0; start < text.length;) {
    let end = Math.min(text.length, start + CHUNK);
    // Where no letter comes for long, any character of ASCII begins one.
    while (end < text.length && !CHUNK_START.test(text[end]!)) {
      if (end > start + 4 * CHUNK && text.charCodeAt(end) < 128 && text[end - 1] !== '\r') break;
      end++;
    }
    raw.push(start);
    normalized.push(joined.length);
    joined += encoder.normalize(text.slice(start, end), start > 0);
    start = end;
  }
  return joined === whole ? { raw, normalized } : undefined;
}

/** The index of the last of ascending `numbers` that is at most `limit`; 0 where none is. */
function lastAtMost(numbers: readonly number[], limit: number): number {
  let low = 0;
  let high = numbers.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (numbers[middle]! <= limit) low = middle;
    else high = middle;
  }
  return low;
}
