/** WordPiece: from the left, always the longest token that fits. */
import type { JsonObject } from '../json';
import type { Model, Vocabulary } from './model';

export function readWordPiece(config: JsonObject, vocabulary: Vocabulary): Model {
  const prefix = config.string('continuing_subword_prefix') ?? '##';
  const most = config.count('max_input_chars_per_word') ?? 100;
  const unknownToken = config.string('unk_token') ?? '[UNK]';
  const unknown = config.required('unk_token in its vocab', vocabulary.get(unknownToken));

  const cut = (word: string): number[] | undefined => {
    const chars = Array.from(word);
    if (chars.length > most) return undefined;
    const ids: number[] = [];
    for (let start = 0; start < chars.length;) {
      let end = chars.length;
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
      ids.push(...(cut(word) ?? [unknown]));
    },
  };
}
