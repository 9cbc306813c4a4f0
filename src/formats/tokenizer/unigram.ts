/** Unigram: the tokens whose scores (log probabilities) have the largest sum. Kudo 2018, as SentencePiece does it. */
import { GraftError } from '../../core/errors';
import { quote } from '../../core/format';
import type { JsonObject } from '../json';
import { nameBytes } from './bytes';
import { MAX_TOKEN_LENGTH, MAX_VOCABULARY, type Model } from './types';

/** What an unknown character costs below the worst token: SentencePiece's kUnkPenalty. */
const UNKNOWN_PENALTY = 10;

interface Node {
  readonly next: Map<number, Node>;
  id: number;
}

export function readUnigram(config: JsonObject): Model {
  const list = config.get('vocab');
  const isEntry = (entry: unknown): entry is [string, number] =>
    Array.isArray(entry) && typeof entry[0] === 'string' && Number.isFinite(entry[1]);
  if (!Array.isArray(list) || !list.every(isEntry)) throw config.wrong('vocab', 'a list of tokens and scores');
  if (list.length > MAX_VOCABULARY) throw config.wrong('vocab', `a list of at most ${MAX_VOCABULARY} tokens`);
  const long = list.find(([token]) => token.length > MAX_TOKEN_LENGTH);
  if (long)
    throw new GraftError(
      'bad-config',
      `${config.where}: vocab has a token of more than ${MAX_TOKEN_LENGTH} characters, ${quote(long[0])}`,
    );
  const vocabulary = new Map(list.map(([token], id) => [token, id]));
  const scores = Float64Array.from(list, ([, score]) => score);
  const unknown = config.count('unk_id');
  if (unknown !== undefined && unknown >= list.length) throw config.wrong('unk_id', 'the place of a token in vocab');
  const fallsBack = config.boolean('byte_fallback') ?? false;
  const unknownScore = scores.reduce((least, score) => Math.min(least, score), Infinity) - UNKNOWN_PENALTY;
  const root = buildTrie(vocabulary);

  /** For each place in the word the token of the best path that ends there; -1 where none does. */
  const findBest = (word: string): { tokens: Int32Array; starts: Int32Array } => {
    const best = new Float64Array(word.length + 1);
    const starts = new Int32Array(word.length + 1).fill(-1);
    const tokens = new Int32Array(word.length + 1).fill(-1);
    const offer = (end: number, start: number, score: number, id: number) => {
      if (starts[end]! >= 0 && score <= best[end]!) return;
      best[end] = score;
      starts[end] = start;
      tokens[end] = id;
    };
    for (let start = 0; start < word.length;) {
      const length = word.codePointAt(start)! > 0xffff ? 2 : 1;
      let hasSingle = false;
      let node = root.next.get(word.charCodeAt(start));
      for (let end = start + 1; node; end++) {
        if (node.id >= 0) {
          offer(end, start, scores[node.id]! + best[start]!, node.id);
          hasSingle ||= end - start === length;
        }
        if (end >= word.length) break;
        node = node.next.get(word.charCodeAt(end));
      }
      if (!hasSingle) {
        if (unknown === undefined) {
          throw new GraftError('bad-config', `${config.where} has no unk_id, and a text has characters that it lacks.`);
        }
        offer(start + length, start, unknownScore + best[start]!, unknown);
      }
      start += length;
    }
    return { tokens, starts };
  };

  /** A stretch of unknown characters is one token, or its bytes. */
  const nameUnknown = (text: string): number[] => {
    const id = vocabulary.get(text);
    if (id !== undefined) return [id];
    const bytes = fallsBack ? nameBytes(text).map((name) => vocabulary.get(name)) : [undefined];
    return bytes.every((byte) => byte !== undefined) ? bytes : [unknown!];
  };

  return {
    vocabulary,
    encode(word, ids) {
      const { tokens, starts } = findBest(word);
      const reversed: number[] = [];
      for (let end = word.length; end > 0;) {
        if (tokens[end] !== unknown) {
          reversed.push(tokens[end]!);
          end = starts[end]!;
          continue;
        }
        let start = starts[end]!;
        while (start > 0 && tokens[start] === unknown) start = starts[start]!;
        // A stretch may have more bytes than a call takes arguments.
        const unknownIds = nameUnknown(word.slice(start, end));
        for (let i = unknownIds.length - 1; i >= 0; i--) reversed.push(unknownIds[i]!);
        end = start;
      }
      for (let i = reversed.length - 1; i >= 0; i--) ids.push(reversed[i]!);
    },
  };
}

function buildTrie(vocabulary: ReadonlyMap<string, number>): Node {
  const root: Node = { next: new Map(), id: -1 };
  for (const [token, id] of vocabulary) {
    let node = root;
    for (let i = 0; i < token.length; i++) {
      const unit = token.charCodeAt(i);
      let next = node.next.get(unit);
      if (!next) node.next.set(unit, (next = { next: new Map(), id: -1 }));
      node = next;
    }
    if (node !== root) node.id = id;
  }
  return root;
}
