/** WordPiece: from the left, always the longest token that fits. */
import type { JsonObject } from '../json';
import { MAX_TOKEN_LENGTH, type Model, type Vocabulary } from './types';

export function readWordPiece(config: JsonObject, vocabulary: Vocabulary): Model {
  const prefix = config.string('continuing_subword_prefix') ?? '##';
  const most = config.count('max_input_chars_per_word') ?? 100;
  const unknownToken = config.string('unk_token') ?? '[UNK]';
  const unknown = config.required('unk_token in its vocab', vocabulary.get(unknownToken));

  let longest = 0;
  for (const token of vocabulary.keys()) longest = Math.max(longest, token.length);
  longest = Math.min(longest, MAX_TOKEN_LENGTH);

  const cut = (word: string): number[] | undefined => {
    const chars = Array.from(word);
    if (chars.length > most) return undefined;
    const ids: number[] = [];
    for (let start = 0; start < chars.length;) {
      // No longer part can be a token.
      let end = Math.min(chars.length, start + longest);
      let id: number | undefined;
      for (; end > start; end--) {
        const part = chars.slice(start, end).join('');
        id = vocabulary.get(start > 0 ? prefix + part : part);
        if (id !== undefined) break;
      }
      if (id === undefined) return undefined;
      ids.push(id);
      start = end;
    }
    return ids;
  };
  return {
    vocabulary,
    encode(word, ids) {
      for (const id of cut(word) ?? [unknown]) ids.push(id);
    },
  };
}
