/** Places of a text in tokens. */
import type { TokenPosition } from '../../core/text';
import type { Segment } from './added-tokens';
import type { Piece, PiecePart, TextEncoderOfModel, Words } from './encoder';

/**
 * So many words before a place are cut again, for how a text is cut depends on what follows: `\s+(?!\S)` gives the last
 * space of several to the next word.
 */
const WORDS_AGAIN = 4;

/** So far back a better word to begin from is looked for, in UTF-16 units. */
const FAR_BACK = 512;

/** Normalized text is aligned with the text at places about so far apart, in UTF-16 units. */
const CHUNK = 96;

/** No character that begins a chunk is ever composed with the one before it: Hangul's vowels and finals are. */
const CHUNK_START = /[^\P{L}\u1160-\u11ff\ud7b0-\ud7ff]|[0-9]/u;

/**
 * Encodes `text` and finds the places at `offsets`: how many ids of the text before the place have in common with the
 * ids of the whole, and whether it has others besides. What is an added token is decided in the whole text. Only some
 * words before a place are encoded again, so the time is linear in text and places together. A text whose normalization
 * can't be aligned with it is encoded again up to each place in it.
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

/** A piece between added tokens, with places in it. */
class LocatedPiece {
  private readonly piece: Piece;
  /** Places where the text and its normalization are aligned; undefined where they can't be. */
  private readonly chunks: { readonly raw: number[]; readonly normalized: number[] } | undefined;

  constructor(
    private readonly encoder: TextEncoderOfModel,
    private readonly text: string,
    private readonly isFirst: boolean,
  ) {
    this.piece = encoder.cutPiece(text, isFirst);
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
    const part = piece.parts.findLast(({ start }) => start < end);
    if (!part) return { before: 0, straddled: false };
    if (!part.words) return placeInToken(part, end, part.before);
    const word = chooseWord(part, part.words, aligned);
    // A part may begin with text that is in no word.
    const start = part.start + (word === 0 ? 0 : part.words.starts[word]!);
    const again = start < aligned ? piece.text.slice(start, aligned) + rest : rest.slice(start - aligned);
    const ids = encoder.encodeRest(again, word === 0 ? 0 : part.words.levels[word]!, part.isFirst && word === 0);
    return this.compare(ids, part.before + (part.words.before[word] ?? 0));
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
  const nearest = Math.max(0, lastAtMost(words.starts, place - part.start) - WORDS_AGAIN);
  let best = nearest;
  // Best is a word that begins where the first stage of the pre-tokenizer cuts.
  for (let word = nearest; word >= 0 && words.levels[best]! > 1; word--) {
    if (words.starts[nearest]! - words.starts[word]! > FAR_BACK) break;
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
    while (end < text.length && !CHUNK_START.test(text[end]!)) end++;
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
