/**
 * How byte-level tokenizers cut text before they merge: GGUF keeps a name (`tokenizer.ggml.pre`) of what the model's
 * tokenizer.json spells out, so the patterns of the names must be known.
 */
import { GraftError } from '../../core/errors';
import { quote } from '../../core/format';
import type { JsonObject } from '../json';

export interface PreTokenizer {
  /** Each cuts what the ones before it have left. */
  readonly patterns: readonly string[];
  readonly normalizer?: { readonly type: 'NFC' };
  /** Whether a word that is a token is one, even if no merges lead to it. */
  readonly ignoreMerges?: boolean;
  readonly addsBos?: boolean;
}

const GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const DIGIT = '\\p{N}';
/** Contractions in any case, words with one mark before them, numbers of so many digits, marks, line ends, spaces. */
const words = (digits: string) =>
  `${CONTRACTION}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}${digits}` +
  `| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
const UPPER = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]';
const LOWER = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]';
const TEKKEN =
  `[^\\r\\n\\p{L}\\p{N}]?${UPPER}*${LOWER}+|[^\\r\\n\\p{L}\\p{N}]?${UPPER}+${LOWER}*|\\p{N}` +
  '| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const O200K =
  `[^\\r\\n\\p{L}\\p{N}]?${UPPER}*${LOWER}+${CONTRACTION}?|[^\\r\\n\\p{L}\\p{N}]?${UPPER}+${LOWER}*${CONTRACTION}?` +
  '|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const HAN = '[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+';

const gpt2: PreTokenizer = { patterns: [GPT2] };
const gpt4o: PreTokenizer = { patterns: [O200K] };
const digitsApart: PreTokenizer = { patterns: [DIGIT, GPT2] };
const llama3: PreTokenizer = { patterns: [words('{1,3}')], ignoreMerges: true, addsBos: true };
const dbrx: PreTokenizer = { patterns: llama3.patterns };
const qwen2: PreTokenizer = { patterns: [words('')], normalizer: { type: 'NFC' } };
const tekken: PreTokenizer = { patterns: [TEKKEN], ignoreMerges: true, addsBos: true };
const deepseekCoder: PreTokenizer = { patterns: ['[\\r\\n]', '\\s?\\p{L}+', '\\s?\\p{P}+', HAN, DIGIT] };
const falcon: PreTokenizer = { patterns: ['[\\p{P}$+<=>^~|`]+', GPT2, '[0-9][0-9][0-9]'] };

const KINDS: Readonly<Record<string, PreTokenizer>> = {
  'gpt-2': gpt2,
  'phi-2': gpt2,
  mpt: gpt2,
  olmo: gpt2,
  starcoder: digitsApart,
  refact: digitsApart,
  'command-r': digitsApart,
  smollm: digitsApart,
  codeshell: digitsApart,
  exaone: digitsApart,
  'minerva-7b': digitsApart,
  'llama-bpe': llama3,
  llama3,
  'llama-v3': llama3,
  falcon3: llama3,
  'smaug-bpe': dbrx,
  dbrx,
  qwen2,
  megrez: qwen2,
  'deepseek-r1-qwen': qwen2,
  tekken,
  pixtral: tekken,
  'gpt-4o': gpt4o,
  'deepseek-coder': deepseekCoder,
  falcon,
};

/** The names that are written, where several mean the same cut. */
const WRITTEN = [
  'gpt-2',
  'smollm',
  'llama-bpe',
  'dbrx',
  'qwen2',
  'tekken',
  'gpt-4o',
  'deepseek-coder',
  'falcon',
] as const;

/** The name of a way to cut text; undefined where llama.cpp has none for it that Graft knows. */
export function preTokenizerName({
  patterns,
  normalizer,
  ignoreMerges = false,
}: Omit<PreTokenizer, 'addsBos'>): string | undefined {
  return WRITTEN.find((name) => {
    const known = KINDS[name]!;
    return (
      known.patterns.join('\n') === patterns.join('\n') &&
      known.normalizer?.type === normalizer?.type &&
      (known.ignoreMerges ?? false) === ignoreMerges
    );
  });
}

/** What a ByteLevel pre-tokenizer cuts by where it isn't told otherwise. */
export const BYTE_LEVEL_PATTERN = GPT2;
/** What takes digits apart. */
export const DIGIT_PATTERN = DIGIT;

/** @throws `unsupported` for a name that isn't in the table: another cut would give other tokens, silently. */
export function preTokenizer(metadata: JsonObject): PreTokenizer {
  const name = metadata.string('tokenizer.ggml.pre') ?? 'default';
  const known = Object.hasOwn(KINDS, name) ? KINDS[name] : undefined;
  if (known) return known;
  throw new GraftError(
    'unsupported',
    `${metadata.where} cuts text in the way ${quote(name)} (tokenizer.ggml.pre), which Graft doesn't know. ` +
      "Put the model's tokenizer.json beside the file.",
  );
}
