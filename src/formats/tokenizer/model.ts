/** Models of tokenizer.json: they give the ids of a word. */
import { GraftError } from '../../core/errors';
import { quote } from '../../core/format';
import { isPlainObject, type JsonObject } from '../json';
import { readBpe } from './bpe';
import { MAX_VOCABULARY, type Model, type Vocabulary } from './types';
import { readUnigram } from './unigram';
import { readWordPiece } from './word-piece';

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
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= MAX_VOCABULARY) {
      throw new GraftError(
        'bad-config',
        `${config.where}: the id of ${quote(token)} in vocab must be a whole number below ${MAX_VOCABULARY}, but is ${quote(id)}`,
      );
    }
    vocabulary.set(token, id);
  }
  return vocabulary;
}
