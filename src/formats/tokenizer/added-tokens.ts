/** Added tokens: found in a text as a whole, before anything else looks at it, as the Rust library finds them. */
import { GraftError } from '../../core/errors';
import { formatCount } from '../../core/format';
import type { JsonObject } from '../json';
import { SPACE, WORD } from './patterns';
import { MAX_VOCABULARY } from './types';

/** Characters of all added tokens, each of which takes some hundred bytes; Gemma's 6,000 tokens have 70,000. */
const MAX_CHARACTERS = 524_288;

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
  /** Only where no word character stands beside it. */
  readonly singleWord: boolean;
  /** Takes the white space before it. */
  readonly lstrip: boolean;
  /** Takes the white space after it. */
  readonly rstrip: boolean;
  /** Looked for in normalized text. */
  readonly normalized: boolean;
}

export function readAddedTokens(tokenizer: JsonObject): AddedToken[] {
  let characters = 0;
  return (tokenizer.objects('added_tokens', MAX_VOCABULARY) ?? []).map((token) => {
    characters += token.string('content')?.length ?? 0;
    if (characters > MAX_CHARACTERS) {
      throw new GraftError(
        'bad-config',
        `added_tokens have more than ${formatCount(MAX_CHARACTERS)} characters in all`,
      );
    }
    const flag = (name: string) => token.boolean(name) ?? false;
    return {
      id: token.required('id', token.count('id')),
      content: token.required('content', token.string('content')),
      special: flag('special'),
      singleWord: flag('single_word'),
      lstrip: flag('lstrip'),
      rstrip: flag('rstrip'),
      normalized: flag('normalized'),
    };
  });
}

/**
 * The tokens with the ids that the Rust library gives them (`AddedVocabulary::add_tokens`), whatever the file says: a token
 * that the model's vocabulary has keeps its id there, and each other one gets the next id.
 */
export function assignIds(tokens: readonly AddedToken[], vocabulary: ReadonlyMap<string, number>): AddedToken[] {
  const assigned = new Map<string, number>();
  let largest = -1;
  return tokens.map((token) => {
    const known = assigned.get(token.content) ?? vocabulary.get(token.content);
    const id = known ?? (largest >= vocabulary.size ? largest + 1 : vocabulary.size);
    assigned.set(token.content, id);
    largest = Math.max(largest, id);
    return { ...token, id };
  });
}

/** A stretch of a text, in UTF-16 units: an added token or the text between two. */
export interface Segment {
  readonly start: number;
  readonly end: number;
  /** Absent in text between. */
  readonly id?: number;
  /** Where the token's own text ends: behind it lies white space that it takes. */
  readonly contentEnd?: number;
}

interface Node {
  readonly next: Map<number, Node>;
  token?: AddedToken;
}

const WORD_AT_END = new RegExp(`[${WORD}]$`, 'u');
const WORD_AT_START = new RegExp(`^[${WORD}]`, 'u');
const SPACE_CHARACTER = new RegExp(`^${SPACE}$`, 'u');

/** Finds added tokens: of those that begin first the longest, of equal ones the first; then from its end on. */
export class TokenFinder {
  private readonly root: Node = { next: new Map() };
  private readonly begins = new Uint8Array(2 ** 16);

  /** `spell` says how a token's content is spelled in the texts. */
  constructor(tokens: readonly AddedToken[], spell: (content: string) => string = (content) => content) {
    for (const token of tokens) {
      const content = spell(token.content);
      if (content === '') continue;
      this.begins[content.charCodeAt(0)] = 1;
      let node = this.root;
      for (let i = 0; i < content.length; i++) {
        const unit = content.charCodeAt(i);
        let next = node.next.get(unit);
        if (!next) node.next.set(unit, (next = { next: new Map() }));
        node = next;
      }
      node.token ??= token;
    }
  }

  split(text: string): Segment[] {
    const segments: Segment[] = [];
    let end = 0;
    for (let from = 0; from < text.length;) {
      const match = this.begins[text.charCodeAt(from)] ? this.longestAt(text, from) : undefined;
      if (!match) {
        from++;
        continue;
      }
      const { token, contentEnd } = match;
      const matchStart = from;
      from = contentEnd;
      if (token.singleWord && !standsAlone(text, matchStart, contentEnd)) continue;
      let stop = contentEnd;
      if (token.rstrip) while (stop < text.length && isSpace(text, stop)) stop++;
      let start = matchStart;
      if (token.lstrip) {
        while (start > end && isSpace(text, start - 1)) start--;
        start = Math.max(start, end);
        // Nothing is left of a token in white space that one before it took.
        if (start >= stop) continue;
      }
      if (start > end) segments.push({ start: end, end: start });
      segments.push({ start: Math.max(start, end), end: Math.max(stop, end), id: token.id, contentEnd });
      // In white space that a token took, another one is found nevertheless, and what follows it is text again.
      end = stop;
    }
    if (end < text.length) segments.push({ start: end, end: text.length });
    return segments;
  }

  private longestAt(text: string, from: number): { token: AddedToken; contentEnd: number } | undefined {
    let longest: { token: AddedToken; contentEnd: number } | undefined;
    let node = this.root.next.get(text.charCodeAt(from));
    for (let at = from + 1; node; at++) {
      if (node.token) longest = { token: node.token, contentEnd: at };
      if (at >= text.length) break;
      node = node.next.get(text.charCodeAt(at));
    }
    return longest;
  }
}

function standsAlone(text: string, start: number, end: number): boolean {
  return !WORD_AT_END.test(text.slice(Math.max(0, start - 2), start)) && !WORD_AT_START.test(text.slice(end, end + 2));
}

function isSpace(text: string, at: number): boolean {
  return SPACE_CHARACTER.test(text[at]!);
}
