/** Files that fuzzers and people found, each for its kind: what no one catches would end in the middle of the work. */
import { describe, expect, it } from 'vitest';
import { openTokenizer } from '../../../src/formats/tokenizer';
import { spellBytes } from '../../../src/formats/tokenizer/bytes';
import { readHeader, writeSafetensors } from '../../../src/formats/safetensors';
import { derivedSource } from '../../../src/core/store';
import { readSpec } from '../../../src/formats/model';
import { readAdapter } from '../../../src/formats/peft';
import { parseDataset } from '../../../src/data/dataset';
import { expectError, files } from './support';

const LONG = 'x\\"'.repeat(7_000_000);
const tokenizer = (changes: object, model: object = {}) => ({
  added_tokens: [],
  model: { type: 'BPE', vocab: { a: 0, b: 1, '<s>': 2 }, merges: [], ...model },
  ...changes,
});
const open = (content: object) => openTokenizer(files({ 'tokenizer.json': content }), [0, 1, 2]);

describe('a tokenizer', () => {
  it.each([
    [
      'an id of 2^31',
      tokenizer({}, { vocab: { a: 2 ** 31 - 1 } }),
      /id of "a" in vocab must be a whole number below 4194304/,
    ],
    ['an infinite id', tokenizer({}, { vocab: { a: Infinity } }), /id of "a" in vocab/],
    [
      'a post-processor without ids',
      tokenizer({ post_processor: { type: 'TemplateProcessing', single: [{ SpecialToken: { id: '<s>' } }] } }),
      /special_tokens lacks "<s>"/,
    ],
    [
      'a post-processor of strangers',
      tokenizer({ post_processor: { type: 'BertProcessing', cls: ['c', 7], sep: ['s', 2] } }),
      /puts the id 7 around a text/,
    ],
    [
      'a post-processor with half an id',
      tokenizer({ post_processor: { type: 'BertProcessing', cls: ['c', 0.5], sep: ['s', 2] } }),
      /cls must be a token and its id/,
    ],
    [
      'an empty part of a post-processor',
      tokenizer({ post_processor: { type: 'TemplateProcessing', single: [{}] } }),
      /has no SpecialToken/,
    ],
    [
      'many steps',
      tokenizer({ normalizer: { type: 'Sequence', normalizers: Array(5000).fill({ type: 'NFC' }) } }),
      /at most 100 are read/,
    ],
    [
      'a table that is no base 64',
      tokenizer({ normalizer: { type: 'Precompiled', precompiled_charsmap: '!' } }),
      /is not a table of SentencePiece/,
    ],
    [
      'a score that is no number',
      tokenizer({}, { type: 'Unigram', vocab: [['a', null]] }),
      /a list of tokens and scores/,
    ],
    [
      'an unknown token that is none',
      tokenizer({}, { type: 'Unigram', vocab: [['a', -1]], unk_id: 5 }),
      /unk_id must be the place/,
    ],
    [
      'a pattern that repeats too much',
      tokenizer({ pre_tokenizer: { type: 'Split', pattern: { Regex: '((a{999}){999}){999}' }, behavior: 'Isolated' } }),
      /repeats too much, so that it could take for ever/,
    ],
  ])('is refused when it is opened: %s', async (_, content, message) => {
    await expectError(
      () => open(content),
      content.model.type === 'BPE' && /could take/.test(message.source) ? 'unsupported' : 'bad-config',
      message,
    );
  });

  it('opens where every id ends a turn', async () => {
    expect((await open(tokenizer({})))?.padTokenId).toBe(0);
  });

  it('encodes what would keep the engine busy for ever', async () => {
    const pre_tokenizer = { type: 'Split', pattern: { Regex: '(a+)+$' }, behavior: 'Isolated', invert: false };
    const opened = await open(tokenizer({ pre_tokenizer }));
    expect(opened?.encode(`${'a'.repeat(60)}b`, { addSpecialTokens: false })).toEqual([
      ...Array<number>(60).fill(0),
      1,
    ]);
  });

  it.each(['Unigram', 'WordPiece'])('encodes a word of 300,000 unknown characters: %s', async (type) => {
    const vocab =
      type === 'Unigram'
        ? [
            ['a', -1],
            ['<unk>', -9],
          ]
        : { a: 0, '[UNK]': 1 };
    const opened = await open(
      tokenizer({}, { type, vocab, unk_id: 1, byte_fallback: true, max_input_chars_per_word: 2 ** 31 }),
    );
    expect(opened?.encode('é'.repeat(300_000), { addSpecialTokens: false })).toEqual([1]);
  });

  it('is stopped where its normalizer makes ever more of a text', async () => {
    const doubling = { type: 'Replace', pattern: { String: 'a' }, content: 'aa' };
    const opened = await open(tokenizer({ normalizer: { type: 'Sequence', normalizers: Array(60).fill(doubling) } }));
    await expectError(
      () => opened?.encode('a'.repeat(1000), { addSpecialTokens: false }),
      'bad-config',
      /normalizer makes .* characters/,
    );
  });
});

describe('a normalizer that makes much of little', () => {
  it('is stopped before the words of it fill the memory', async () => {
    const opened = await open(tokenizer({ normalizer: { type: 'NFKD' } }));
    await expectError(
      () => opened?.encode('\ufdfa'.repeat(500_000), { addSpecialTokens: false }),
      'bad-data',
      /normalizer makes 9,000,000 characters of a text of 500,000, and reads 8,388,608 at most: shorten the text/,
    );
  });

  it('spells a long text in bytes as it does a short one', () => {
    const text = 'Größe 東京 😀\n'.repeat(1000);
    expect(spellBytes(text)).toBe(Array.from(text, spellBytes).join(''));
  });
});

describe('a string of 20 million characters', () => {
  it('is read in the header of safetensors', async () => {
    const header = new TextEncoder().encode(`{"__metadata__":{"a":"${LONG}"}}`);
    const file = new Uint8Array(8 + header.length);
    new DataView(file.buffer).setBigUint64(0, BigInt(header.length), true);
    file.set(header, 8);
    expect((await readHeader(files({ f: file }), 'f')).metadata.get('a')).toHaveLength(14_000_000);
  });

  it('is read in a row beside tools', async () => {
    const row = (prompt: string) => `{"prompt": "${prompt}", "completion": "c", "tools": []}`;
    const longest = row(LONG.slice(0, 12_000_000));
    expect((await parseDataset('d.jsonl', longest, { maxBadRows: 0 })).examples).toHaveLength(1);
    await expectError(
      () => parseDataset('d.jsonl', row(LONG), { maxBadRows: 0 }),
      'bad-data',
      /row 1 has 14,000,022 characters, and a row may have 8,388,608 at most: split it/,
    );
  });
});

describe('a number', () => {
  const config = {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_size: 32,
    intermediate_size: 48,
    num_hidden_layers: 1,
    num_attention_heads: 4,
    vocab_size: 40,
    max_position_embeddings: 64,
  };
  const read = (change: string) => {
    const json = JSON.stringify(config).replace(/\}$/, `,${change}}`);
    return readSpec(files({ 'config.json': json }));
  };

  it.each([
    ['"rope_theta": 1e999', /rope_theta must be a number above 0 within the range of 32-bit floats, but is Infinity/],
    ['"rms_norm_eps": 1e-60', /rms_norm_eps must be .* 32-bit floats/],
    [
      `"original_max_position_embeddings": 1, "rope_scaling": {"type": "longrope", "factor": 4, "short_factor": [1,1,1,1], "long_factor": [1,1,1,1]}`,
      /longrope has no attention_factor/,
    ],
    [
      `"rope_scaling": {"type": "longrope", "short_factor": [1,1,1,1e-60], "long_factor": [1,1,1,1]}`,
      /above 0 are needed/,
    ],
    [
      `"rope_scaling": ${'['.repeat(10_000)}${']'.repeat(10_000)}`,
      /not valid JSON: line 1, column \d+: more than 256 lists/,
    ],
  ])('of a config that can be no number of a model is refused: %.60s', async (change, message) => {
    await expectError(() => read(change), /JSON/.test(message.source) ? 'bad-file' : 'bad-config', message);
  });

  it('of an adapter too', async () => {
    const adapter = (alpha: string) =>
      files({
        'adapter_config.json': `{"peft_type": "LORA", "r": 2, "lora_alpha": ${alpha}, "target_modules": ["q_proj"]}`,
        'adapter_model.safetensors': Uint8Array.from([2, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0x7d]),
      });
    await expectError(() => readAdapter(adapter('1e999')), 'bad-config', /lora_alpha must be a number above 0 within/);
  });
});

describe('an adapter of many tensors', () => {
  const config = '{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}';
  const adapter = (names: readonly string[], shape: number[]) => {
    const size = shape.reduce((product, n) => product * n, 1);
    const bytes = (n: number) => new Uint8Array(new Float32Array(size).fill(n).buffer);
    const tensors = names.map((name, n) => ({ name, dtype: 'f32' as const, shape, bytes: bytes(n) }));
    const source = files({ 'adapter_config.json': config, 'adapter_model.safetensors': writeSafetensors(tensors, {}) });
    const reads: number[] = [];
    const read = (file: string, start?: number, end?: number) => {
      if (file.endsWith('.safetensors')) reads.push(start ?? 0);
      return source.read(file, start, end);
    };
    return { source: derivedSource(source, { read }), reads };
  };
  const lora = (n: number) => `base_model.model.model.layers.${n}.self_attn.q_proj.lora_A.weight`;
  const names = (count: number) => Array.from({ length: count }, (_, n) => lora(n));

  it('is read in a few goes', async () => {
    for (const shape of [[0], [2, 8]]) {
      const { source, reads } = adapter(names(20_000), shape);
      const { tensors } = await readAdapter(source);
      const found = tensors.find(({ name }) => name === lora(777))!;
      expect([tensors.length, found.shape]).toEqual([20_000, shape]);
      const values = new Float32Array(found.bytes.buffer, found.bytes.byteOffset, found.bytes.byteLength / 4);
      expect(new Set(values)).toEqual(new Set(shape[0] === 0 ? [] : [777]));
      expect(reads.length).toBeLessThan(10);
    }
  });

  it('is refused by their count and their names before one of them is read', async () => {
    const many = adapter(names(80_000), [0]);
    await expectError(() => readAdapter(many.source), 'bad-file', /has 80,000 tensors; more than 30,000 are not read/);
    const twice = adapter([lora(1), lora(1).replace('base_model.model.', '')], [2, 8]);
    await expectError(() => readAdapter(twice.source), 'bad-file', /q_proj\.lora_A\.weight twice, under two names/);
    expect([many.reads.length, twice.reads.length]).toEqual([2, 2]); // the length of the header, and the header
  });
});
