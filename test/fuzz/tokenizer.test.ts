/** Broken tokenizers: whatever opens must also encode, find places, and decode. */
import { readFileSync } from 'node:fs';
import { openTokenizer } from '../../src/formats/tokenizer';
import { memorySource } from '../../src/formats/sources';
import { fuzz } from './harness';
import { mutateBytes, mutateJson } from './mutate';
import type { Random } from './random';

interface Golden {
  readonly models: Readonly<Record<string, { vocab: Record<string, number> | unknown[]; merges?: unknown[] }>>;
  readonly cases: readonly {
    readonly model: string;
    readonly options: object;
    readonly set: object;
    readonly added_tokens: object[];
  }[];
}

const golden = JSON.parse(readFileSync('test/golden/token_ids.json', 'utf8')) as Golden;

const DECODERS: readonly object[] = [
  { type: 'ByteLevel' },
  {
    type: 'Sequence',
    decoders: [
      { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
      { type: 'ByteFallback' },
      { type: 'Fuse' },
      { type: 'Strip', content: ' ', start: 1, stop: 0 },
    ],
  },
  { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always' },
  { type: 'WordPiece', prefix: '##', cleanup: true },
  { type: 'BPEDecoder', suffix: '</w>' },
  { type: 'CTC', pad_token: '<pad>', word_delimiter_token: '|', cleanup: true },
];
const POST_PROCESSORS: readonly object[] = [
  {
    type: 'TemplateProcessing',
    single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
    pair: [],
    special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
  },
  { type: 'BertProcessing', sep: ['[SEP]', 102], cls: ['[CLS]', 101] },
  {
    type: 'Sequence',
    processors: [
      { type: 'ByteLevel', trim_offsets: true },
      { type: 'RobertaProcessing', sep: ['</s>', 2], cls: ['<s>', 0] },
    ],
  },
];
const VALUES = [
  ...[
    '"(a+)+$"',
    '"(a|a)*b"',
    '"(.*)*x"',
    '"\\\\p{L}+"',
    '"\\\\s+(?!\\\\S)|\\\\s+"',
    '"(?i:\'s|\'t)"',
    '"("',
    '"[^"',
    '"(?<=a)b"',
    '"a{1000000}"',
  ],
  ...[
    '"(\\\\w+\\\\s?)*$"',
    '"(?:a?){50}a{50}"',
    '"\\\\b"',
    '""',
    '"\\\\G"',
    '"(?>a+)b"',
    '"\\\\K"',
    '"[[:alpha:]]"',
    '"(?<n>a)\\\\k<n>"',
  ],
  ...[
    '{"Regex": "(x+x+)+y"}',
    '{"Regex": "."}',
    '{"String": ""}',
    '{"Regex": ""}',
    '"ByteLevel"',
    '"BPE"',
    '"Unigram"',
    '"WordPiece"',
  ],
  ...[
    '"Precompiled"',
    '"AAAA"',
    '"!"',
    '"AQAAAAAAAAA="',
    '4294967295',
    '2147483647',
    '["a", "b"]',
    '["a", 1]',
    '[["a", 1]]',
  ],
];
const TEXTS = [
  'The tide is low.',
  `${'a'.repeat(60)}!`,
  'Ünïcode 😀\ud800 \u0301▁▁x',
  `  ${'x '.repeat(200)}`,
  '',
  '<s>hi</s><|im_end|>',
];

/** The model with fewer tokens and merges: most of what can break is elsewhere. */
function shorten(model: Golden['models'][string], random: Random): object {
  const most = random.pick([3, 60, 1000]);
  const vocab = Array.isArray(model.vocab)
    ? model.vocab.slice(0, most)
    : Object.fromEntries(Object.entries(model.vocab).slice(0, most));
  const has = (token: string) => Object.hasOwn(vocab, token);
  const merges = model.merges?.filter((merge) => {
    const [left = '', right = ''] = typeof merge === 'string' ? merge.split(' ') : (merge as string[]);
    return has(left) && has(right) && has(left + right);
  });
  return { ...model, vocab, ...(merges && { merges }) };
}

function tokenizerJson(random: Random): string {
  const { model, options, set, added_tokens } = random.pick(golden.cases);
  return JSON.stringify({
    version: '1.0',
    added_tokens,
    decoder: random.pick(DECODERS),
    post_processor: random.pick(POST_PROCESSORS),
    model: { ...shorten(golden.models[model]!, random), ...options },
    ...set,
  });
}

/** The tokenizer with one of its parts broken: its tables, which are the most of it, are left alone. */
function mutatePart(json: string, random: Random): Uint8Array {
  const tokenizer = JSON.parse(json) as Record<string, unknown>;
  const part = random.pick(['normalizer', 'pre_tokenizer', 'decoder', 'post_processor', 'added_tokens']);
  const decoder = new TextDecoder();
  const broken = decoder.decode(mutateJson(JSON.stringify(tokenizer[part] ?? { type: 'Sequence' }), random, VALUES));
  const text = JSON.stringify({ ...tokenizer, [part]: '\u0000' }).replace('"\\u0000"', () => broken);
  return new TextEncoder().encode(text);
}

const CONFIG = JSON.stringify({
  add_bos_token: true,
  add_eos_token: false,
  bos_token: { content: '<s>', lstrip: false },
  eos_token: '</s>',
  pad_token: null,
  additional_special_tokens: ['<|im_end|>'],
  clean_up_tokenization_spaces: false,
});

fuzz<Record<'tokenizer.json' | 'tokenizer_config.json', Uint8Array>>('tokenizer', {
  make: (random) => {
    const json = tokenizerJson(random);
    const bytes = random.chance(0.05)
      ? mutateBytes(new TextEncoder().encode(json), random)
      : random.chance(0.6)
        ? mutatePart(json, random)
        : mutateJson(json, random, VALUES);
    const config = random.chance(0.1) ? mutateJson(CONFIG, random) : new TextEncoder().encode(CONFIG);
    return { 'tokenizer.json': bytes, 'tokenizer_config.json': config };
  },
  read: async (files) => {
    const tokenizer = (await openTokenizer(memorySource('fuzz', files), [2]))!;
    for (const text of TEXTS) {
      const ids = tokenizer.encode(text, { addSpecialTokens: true });
      tokenizer.locate(text, [0, text.length >> 1, text.length]);
      tokenizer.decode(ids, { skipSpecialTokens: false });
      tokenizer.decode([0, 1, 5, tokenizer.padTokenId], { skipSpecialTokens: true });
    }
  },
  bytes: (files) => files['tokenizer.json'],
  readable: 0.08,
});
