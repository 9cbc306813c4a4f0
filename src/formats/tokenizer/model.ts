/** Models of tokenizer.json: they give the ids of a word. */
import { GraftError } from '../../core/errors';
import { quote } from '../../core/format';
import { isPlainObject, type JsonObject } from '../json';
import { readBpe } from './bpe';
import { readUnigram } from './unigram';
import { readWordPiece } from './word-piece';

export interface Model {
  readonly vocabulary: Vocabulary;
  /** Appends the ids of a word, which is not empty, to `ids`. */
  encode(word: string, ids: number[]): void;
  /**
   * Ascending places in a text where no token can begin before and end after, so that the parts encode to what the whole
   * does. Absent in models that don't know any.
   */
  findSeams?(text: string): number[];
}

/** The ids of tokens by their text. */
export type Vocabulary = ReadonlyMap<string, number>;

/** @throws `unsupported` for a kind that Graft doesn't know, by its name; `bad-config` where lists don't fit. */
export function readModel(config: JsonObject): Model {
  const type = config.string('type') ?? guessType(config);
  switch (type) {
    case 'BPE':
      return readBpe(config, readVocabulary(config));
    case 'WordPiece':
      return readWordPiece(config, readVocabulary(config));
    case 'Unigram':
      return readUnigram(config);
    default:
      throw new GraftError('unsupported', `its model ${quote(type)} is none that Graft knows`);
  }
}

/** Old files don't say the type. */
function guessType(config: JsonObject): string | undefined {
  if (config.get('merges') !== undefined) return 'BPE';
  if (Array.isArray(config.get('vocab'))) return 'Unigram';
  return config.get('continuing_subword_prefix') !== undefined ? 'WordPiece' : undefined;
}

function readVocabulary(config: JsonObject): Vocabulary {
  const table = config.get('vocab');
  if (!isPlainObject(table)) throw config.wrong('vocab', 'an object of tokens and ids');
  const vocabulary = new Map<string, number>();
  for (const token of Object.keys(table)) {
    const id = table[token];
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= 2 ** 31) {
      throw new GraftError('bad-config', `${config.where}: the id of ${quote(token)} in vocab must be a whole number`);
    }
    vocabulary.set(token, id);
  }
  return vocabulary;
}
