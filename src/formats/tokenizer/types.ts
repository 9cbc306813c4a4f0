/** What the models of tokenizer.json have in common, and the limits of what they may hold. */

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

/** Ids end below this: as many as an embedding may have rows. The largest open vocabularies have 262,144 tokens. */
export const MAX_VOCABULARY = 4_194_304;

/** Characters of a token that is looked for in a text letter by letter; real ones have some dozens. */
export const MAX_TOKEN_LENGTH = 1024;

/** Normalizers, pre-tokenizers, decoders or post-processors in all: a word goes through them one after another. */
export const MAX_STEPS = 100;
