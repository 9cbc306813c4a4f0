/** The tokenizer in GGUF metadata as the Hub's tokenizer.json and tokenizer_config.json. */
import { GraftError } from '../../core/errors';
import { formatCount, quote } from '../../core/format';
import type { JsonObject } from '../json';
import { preTokenizer } from './pre-tokenizers';

/** `llama_token_type`; control tokens and user-defined ones are found in text as a whole. */
export const TOKEN_TYPE = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** What SentencePiece writes for a space. */
export const MARK = '\u2581';

/** The files as objects; undefined where the metadata has no tokenizer. */
export interface TokenizerFiles {
  readonly tokenizer: Record<string, unknown>;
  readonly config: Record<string, unknown>;
  readonly generation: Record<string, unknown>;
}

/** @throws `unsupported` for a kind of tokenizer that Graft can't rebuild, `bad-config` where lists don't fit. */
export function tokenizerOf(metadata: JsonObject): TokenizerFiles | undefined {
  const tokens = metadata.strings('tokenizer.ggml.tokens');
  const kind = metadata.string('tokenizer.ggml.model');
  if (!tokens || kind === undefined || kind === 'none' || kind === 'no_vocab') return undefined;
  const types = list(metadata, 'tokenizer.ggml.token_type', tokens.length);
  const vocabulary: Vocabulary = { metadata, tokens, types };
  switch (kind) {
    case 'gpt2':
      return { tokenizer: bytePair(vocabulary), ...configs(vocabulary, startsWithBos(metadata)) };
    case 'llama':
      return { tokenizer: sentencePiece(vocabulary), ...configs(vocabulary, true) };
    default:
      throw new GraftError(
        'unsupported',
        `${metadata.where} has a tokenizer of the kind ${quote(kind)}; Graft reads gpt2 and llama. ` +
          "Put the model's tokenizer.json beside the file.",
      );
  }
}

interface Vocabulary {
  readonly metadata: JsonObject;
  readonly tokens: readonly string[];
  /** `llama_token_type`, or undefined where the file has none. */
  readonly types: readonly number[] | undefined;
}

function list(metadata: JsonObject, key: string, length: number): number[] | undefined {
  const value = metadata.get(key);
  if (value === undefined) return undefined;
  if (Array.isArray(value) && value.length === length && value.every((item) => typeof item === 'number')) return value;
  throw metadata.wrong(key, `a list of ${length} numbers, one a token`);
}

/** SentencePiece's own limit is 16 unless it is told otherwise; every way to cut a piece in two is tried. */
const MAX_PIECE_LENGTH = 1024;

/** Byte-level BPE, as GPT-2 began it. */
function bytePair(vocabulary: Vocabulary): Record<string, unknown> {
  const { metadata, tokens } = vocabulary;
  const kind = preTokenizer(metadata);
  const merges = metadata.required('tokenizer.ggml.merges', metadata.strings('tokenizer.ggml.merges'));
  const byteLevel = { add_prefix_space: false, trim_offsets: true, use_regex: false };
  return {
    version: '1.0',
    added_tokens: addedTokens(vocabulary, () => true),
    normalizer: kind.normalizer ?? null,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        ...kind.patterns.map((pattern) => ({
          type: 'Split',
          pattern: { Regex: pattern },
          behavior: 'Isolated',
          invert: false,
        })),
        { type: 'ByteLevel', ...byteLevel },
      ],
    },
    post_processor: null,
    decoder: { type: 'ByteLevel', ...byteLevel },
    model: {
      type: 'BPE',
      ignore_merges: kind.ignoreMerges ?? false,
      unk_token: null,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  };
}

/** SentencePiece's BPE: pieces with scores and bytes for what no piece spells. */
function sentencePiece(vocabulary: Vocabulary): Record<string, unknown> {
  const { metadata, tokens } = vocabulary;
  const scores = list(metadata, 'tokenizer.ggml.scores', tokens.length);
  const prefixed = metadata.boolean('tokenizer.ggml.add_space_prefix') ?? true;
  const replace = { type: 'Replace', pattern: { String: ' ' }, content: MARK };
  const unknown = tokens[metadata.ids('tokenizer.ggml.unknown_token_id')[0] ?? 0];
  return {
    version: '1.0',
    // Runs of spaces are pieces to the model, whatever their type says: text has spaces where they have marks.
    added_tokens: addedTokens(vocabulary, (token) => !token.includes(MARK)),
    normalizer: {
      type: 'Sequence',
      normalizers: [...(prefixed ? [{ type: 'Prepend', prepend: MARK }] : []), replace],
    },
    pre_tokenizer: null,
    post_processor: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: MARK }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...(prefixed ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
      ],
    },
    model: {
      type: 'BPE',
      unk_token: unknown ?? null,
      fuse_unk: true,
      byte_fallback: true,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: mergesOf(vocabulary, metadata.required('tokenizer.ggml.scores', scores)),
    },
  };
}

/**
 * SentencePiece joins the two neighbours whose union has the best score. As merges: every way to split a piece in two
 * other pieces, best pieces first.
 */
function mergesOf({ metadata, tokens }: Vocabulary, scores: readonly number[]): [string, string][] {
  const long = tokens.find((token) => token.length > MAX_PIECE_LENGTH);
  if (long !== undefined) {
    throw new GraftError(
      'bad-file',
      `${metadata.where} has a token of ${formatCount(long.length)} characters, ${quote(long)}: it is damaged.`,
    );
  }
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const order = tokens.map((_, id) => id).sort((a, b) => scores[b]! - scores[a]! || a - b);
  const merges: [string, string][] = [];
  for (const id of order) {
    const token = tokens[id]!;
    for (let cut = 1; cut < token.length; cut++) {
      const [left, right] = [token.slice(0, cut), token.slice(cut)];
      if (ids.has(left) && ids.has(right)) merges.push([left, right]);
    }
  }
  return merges;
}

/** Tokens of Phi-3 that leave the space after them. */
export const KEEPS_SPACE: ReadonlySet<string> = new Set(['<unk>', '<s>', '<|endoftext|>']);

/** Files don't say which tokens take the space after them: llama.cpp goes by the model's name. */
export function stripsSpaces(modelName: string): boolean {
  return /phi-?3/i.test(modelName);
}

function addedTokens({ metadata, tokens, types }: Vocabulary, isText: (token: string) => boolean): object[] {
  const stripsAfter = stripsSpaces(metadata.string('general.name') ?? '');
  return tokens.flatMap((content, id) => {
    const special = types?.[id] === TOKEN_TYPE.control;
    if (!special && (types?.[id] !== TOKEN_TYPE.userDefined || !isText(content))) return [];
    const rstrip = stripsAfter && !KEEPS_SPACE.has(content);
    return [{ id, content, special, single_word: false, lstrip: false, rstrip, normalized: false }];
  });
}

/** tokenizer_config.json and generation_config.json: special tokens, BOS and EOS around texts, the chat template. */
function configs({ metadata, tokens }: Vocabulary, bos: boolean): Pick<TokenizerFiles, 'config' | 'generation'> {
  const id = (name: string) => metadata.ids(`tokenizer.ggml.${name}_token_id`)[0];
  const token = (name: string) => {
    const found = id(name);
    return found === undefined
      ? {}
      : { [`${name === 'unknown' ? 'unk' : name === 'padding' ? 'pad' : name}_token`]: tokens[found] };
  };
  const ends = ['eos', 'eot', 'eom'].map(id).filter((found) => found !== undefined);
  return {
    config: {
      ...token('bos'),
      ...token('eos'),
      ...token('unknown'),
      ...token('padding'),
      add_bos_token: (metadata.boolean('tokenizer.ggml.add_bos_token') ?? bos) && id('bos') !== undefined,
      add_eos_token: (metadata.boolean('tokenizer.ggml.add_eos_token') ?? false) && id('eos') !== undefined,
      chat_template: metadata.string('tokenizer.chat_template') ?? null,
      tokenizer_class: 'PreTrainedTokenizerFast',
    },
    generation: { eos_token_id: [...new Set(ends)] },
  };
}

/** llama.cpp starts texts for these with BOS unless the file says otherwise. */
function startsWithBos(metadata: JsonObject): boolean {
  return preTokenizer(metadata).addsBos ?? false;
}
