/**
 * GGUF files as we write them, against llama.cpp's own (its converter's, and llama-quantize's of the reference), and read
 * back by our reader.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { FileSource } from '../../../src/core/store';
import { toFloat32 } from '../../../src/core/dtypes';
import { EMBEDDING } from '../../../src/core/spec';
import { wholeTensors } from '../../../src/core/weights';
import { ggufPieces, hubLayout, openGguf, planGguf, readGgufHeader, type FileType } from '../../../src/formats/gguf';
import { typeOf } from '../../../src/formats/gguf/mix';
import { ggmlType } from '../../../src/formats/gguf/types';
import { ggufHead, paddingAfter, type GgufValue } from '../../../src/formats/gguf/write';
import { openModel, type HubModel } from '../../../src/formats/model';
import { writeSafetensors, readAll } from '../../../src/formats/safetensors';
import { memorySource } from '../../../src/formats/sources';
import { hasReference, reference } from '../../support/reference';
import { tinyModel } from '../recipes/support';
import { expectError, files, folder } from './support';

const FAMILIES = [
  'llama',
  'llama3',
  'llama-bias',
  'qwen2',
  'qwen3',
  'phi3',
  'phi3-long',
  'gemma2',
  'gemma3',
  'smollm3',
];
const alone = (bytes: Uint8Array): FileSource => memorySource('alone', { 'm.gguf': bytes });

async function write(model: HubModel, source: FileSource, type: FileType): Promise<Uint8Array> {
  const { spec, dtypes } = model;
  const plan = await planGguf({ name: 'tiny', spec, order: [...dtypes.keys()], type, source, asked: model });
  const pieces: Uint8Array[] = [];
  for await (const piece of ggufPieces(plan, wholeTensors(model.weights()))) pieces.push(piece);
  const bytes = new Uint8Array(Buffer.concat(pieces));
  expect(bytes.byteLength).toBe(plan.size);
  return bytes;
}

async function tensorsByName(bytes: Uint8Array) {
  const source = alone(bytes);
  const { tensors, metadata } = await readGgufHeader(source, 'm.gguf');
  const entries = tensors.map(({ name, type, shape, start, end }) => [
    name,
    { type: type.name, shape, bytes: Buffer.from(bytes.subarray(start, end)).toString('hex') },
  ]);
  return { tensors: Object.fromEntries(entries) as Record<string, { bytes: string }>, metadata };
}

/** The f32 values of a tensor that may not be there. */
function floats(tensor: { bytes: string } | undefined): number[] {
  return [...new Float32Array(Uint8Array.from(Buffer.from(tensor?.bytes ?? '', 'hex')).buffer)];
}

describe('the head of a file', () => {
  const values: [string, GgufValue][] = [
    ['u8', { kind: 'u8', value: 255 }],
    ['i8', { kind: 'i8', value: -128 }],
    ['u16', { kind: 'u16', value: 65_535 }],
    ['i16', { kind: 'i16', value: -3 }],
    ['u32', { kind: 'u32', value: 4_294_967_295 }],
    ['i32', { kind: 'i32', value: -2_147_483_648 }],
    ['f32', { kind: 'f32', value: 0.5 }],
    ['f64', { kind: 'f64', value: 0.1 }],
    ['u64', { kind: 'u64', value: 2 ** 53 - 1 }],
    ['i64', { kind: 'i64', value: -(2 ** 40) }],
    ['yes', { kind: 'bool', value: true }],
    ['no', { kind: 'bool', value: false }],
    ['text', { kind: 'string', value: 'naïve 日本語 🙂' }],
    ['texts', { list: 'string', value: ['a', '', 'ü'] }],
    ['numbers', { list: 'i32', value: [1, -2, 3] }],
    ['long', { list: 'string', value: Array.from({ length: 9000 }, (_, i) => `token ${i}`) }],
  ];

  it('says every kind of value, and where each tensor lies', async () => {
    const planned = [
      { name: 'a', type: ggmlType('F32'), shape: [3] },
      { name: 'b', type: ggmlType('Q8_0'), shape: [2, 64] },
      { name: 'c', type: ggmlType('BF16'), shape: [5, 7] },
    ];
    const { head, size } = ggufHead(new Map(values), planned);
    const file = new Uint8Array(size);
    file.set(head);
    const { metadata, tensors } = await readGgufHeader(alone(file), 'm.gguf');
    expect(metadata.value).toEqual(Object.fromEntries(values.map(([key, { value }]) => [key, value])));
    expect(tensors.map(({ name, type, shape }) => ({ name, type, shape }))).toEqual(planned);
    expect(tensors.map(({ start }) => start % 32)).toEqual([0, 0, 0]);
    expect(paddingAfter(33)).toEqual(new Uint8Array(31));
  });
});

describe('a model that llama.cpp converted, read and written again', () => {
  it.each(FAMILIES)('%s has the bytes of its tensors, and what its metadata says of the model', async (name) => {
    const golden = new Uint8Array(readFileSync(`test/golden/gguf/${name}.gguf`));
    const source = await openGguf(alone(golden), 'm.gguf');
    const model = await openModel(source);
    const written = await write(model, source, 'F16');
    const [own, other] = [await tensorsByName(written), await tensorsByName(golden)];
    const { 'rope_freqs.weight': ownTable, ...ownTensors } = own.tensors;
    const { 'rope_freqs.weight': table, ...tensors } = other.tensors;
    expect(ownTensors).toEqual(tensors);
    // The converter computes the table in f32.
    floats(table).forEach((divisor, i) => expect(floats(ownTable)[i]! / divisor).toBeCloseTo(1, 6));
    const architecture = String(other.metadata.get('general.architecture'));
    const keys = other.metadata.keys().filter((key) => key.startsWith(`${architecture}.`));
    // Says what nothing depends on where the embedding isn't scaled.
    const idle = name === 'phi3' ? 'phi3.rope.scaling.original_context_length' : undefined;
    for (const key of keys.filter((found) => found !== idle)) {
      expect(own.metadata.get(key), key).toEqual(other.metadata.get(key));
    }
    expect(own.metadata.get('general.file_type')).toBe(other.metadata.get('general.file_type'));
    const again = await openModel(alone(written));
    expect(again.spec).toEqual(model.spec);
  });
});

describe.skipIf(!hasReference)('the types of tensors', () => {
  const { gguf_files: expected } = hasReference
    ? (JSON.parse(readFileSync(reference('golden/quantizers/quantizers.json'), 'utf8')) as {
        gguf_files: Record<string, Record<string, { type: string; shape: number[] }>>;
      })
    : { gguf_files: {} };

  it.each([
    ['model-Q8_0.gguf', 'Q8_0'],
    ['model-Q4_0.gguf', 'Q4_0'],
    ['rand256-Q4_K_M.gguf', 'Q4_K_M'],
  ] as const)('of %s are those that llama-quantize chose', async (file, type) => {
    const source = alone(new Uint8Array(readFileSync(reference('golden/quantizers', file))));
    const { spec } = await openModel(source);
    for (const [name, { type: chosen, shape }] of Object.entries(expected[file]!)) {
      expect(typeOf(type, name, [...shape].reverse(), spec).name, name).toBe(chosen);
    }
  });
});

describe('the mix of types', async () => {
  const { spec } = await openModel(folder('public/models/starter'));
  const chosen = (type: FileType, part: string, columns: number, layers: number) =>
    Array.from({ length: layers }, (_, layer) => {
      return typeOf(type, `blk.${layer}.${part}.weight`, [64, columns], { ...spec, numLayers: layers }).name;
    });

  it('gives the first and last eighth of the layers more bits, and every third between', () => {
    const four = 'Q6_K Q6_K Q4_K Q4_K Q6_K Q4_K Q4_K Q6_K Q4_K Q4_K Q6_K Q4_K Q4_K Q6_K Q6_K Q6_K';
    expect(chosen('Q4_K_M', 'attn_v', 256, 16).join(' ')).toBe(four);
    expect(chosen('Q4_K_M', 'ffn_down', 256, 16).join(' ')).toBe(four);
    expect(chosen('Q5_K_M', 'attn_v', 256, 16).join(' ')).toBe(four.replaceAll('Q4', 'Q5'));
    expect(new Set(chosen('Q4_K_M', 'attn_q', 256, 16))).toEqual(new Set(['Q4_K']));
    expect(new Set(chosen('Q6_K', 'ffn_up', 256, 16))).toEqual(new Set(['Q6_K']));
  });

  it('falls back where rows are no whole blocks', () => {
    expect(chosen('Q4_K_M', 'attn_q', 96, 1)).toEqual(['Q5_0']);
    expect(chosen('Q5_K_M', 'attn_q', 96, 1)).toEqual(['Q5_1']);
    expect(chosen('Q6_K', 'attn_q', 96, 1)).toEqual(['Q8_0']);
    expect(chosen('Q8_0', 'attn_q', 40, 1)).toEqual(['F16']);
    expect(typeOf('Q4_K_M', 'blk.0.attn_norm.weight', [256], spec).name).toBe('F32');
  });
});

describe('the tokenizer of a file', () => {
  const TEXTS = [
    "Once upon a time, she'll say:\n\n  naïve 日本語 🙂 12,345",
    '<|user|>Hi<|end|> x',
    'SELECT a FROM b;\r\n\t7',
    '<|assistant|><s> 3 33 333',
  ];
  const MODELS = ['public/models/starter', ...(hasReference ? [reference('tokenizers/phi-3-mini')] : [])];

  it.each(MODELS)('of %s gives the same ids, and the same text back', async (path) => {
    const starter = folder('public/models/starter');
    const vocab = path === 'public/models/starter' ? 3072 : 32_064;
    const config = {
      ...(JSON.parse(Buffer.from(await starter.read('config.json')).toString()) as object),
      vocab_size: vocab,
    };
    const weights = await readAll(starter, 'model.safetensors');
    const own = folder(path);
    const table = { dtype: 'f32' as const, shape: [vocab, 192], bytes: new Uint8Array(4 * vocab * 192) };
    const tensors = weights.map((tensor) => (tensor.name === EMBEDDING ? { ...tensor, ...table } : tensor));
    const source = files({
      'config.json': config,
      'model.safetensors': writeSafetensors(tensors),
      'tokenizer.json': await own.read('tokenizer.json'),
      'tokenizer_config.json': await own.read('tokenizer_config.json'),
    });
    const model = await openModel(source);
    const written = await openModel(alone(await write(model, source, 'F16')));
    for (const text of TEXTS) {
      for (const addSpecialTokens of [true, false]) {
        const ids = model.tokenizer!.encode(text, { addSpecialTokens });
        expect(written.tokenizer!.encode(text, { addSpecialTokens }), text).toEqual(ids);
      }
      const ids = model.tokenizer!.encode(text, { addSpecialTokens: false });
      expect(written.tokenizer!.decode(ids, { skipSpecialTokens: false })).toBe(
        model.tokenizer!.decode(ids, { skipSpecialTokens: false }),
      );
    }
    expect([...written.tokenizer!.stopTokenIds].sort()).toEqual([...model.tokenizer!.stopTokenIds].sort());
    expect(written.tokenizer!.specialTokens).toEqual(model.tokenizer!.specialTokens);
    expect(written.template!.text).toBe(model.template!.text);
  });

  it.skipIf(!hasReference)(
    'of stories260K has the tokens and types that SentencePiece gave, and ranks as its scores',
    async () => {
      const source = folder(reference('models/stories260K'));
      const written = await tensorsByName(await write(await openModel(source), source, 'F32'));
      const golden = await tensorsByName(new Uint8Array(readFileSync(reference('models/stories260K/model-f32.gguf'))));
      for (const key of [
        'model',
        'tokens',
        'token_type',
        'bos_token_id',
        'eos_token_id',
        'unknown_token_id',
        'add_space_prefix',
      ]) {
        expect(written.metadata.get(`tokenizer.ggml.${key}`), key).toEqual(
          golden.metadata.get(`tokenizer.ggml.${key}`),
        );
      }
      const ranks = (metadata: typeof golden.metadata) => {
        const [scores, types] = ['scores', 'token_type'].map(
          (key) => metadata.get(`tokenizer.ggml.${key}`) as number[],
        );
        const pieces = scores!.map((score, id) => ({ score, id })).filter(({ id }) => types![id] === 1);
        return pieces.sort((a, b) => b.score - a.score).map(({ id }) => id);
      };
      expect(ranks(written.metadata)).toEqual(ranks(golden.metadata));
      expect(written.tensors).toEqual(golden.tensors);
    },
  );

  it('has the name of the way in which it cuts text', async () => {
    const tiny = await tinyModel({ vocab_size: 256 });
    const byteLevel = (use_regex: boolean) => ({ type: 'ByteLevel', add_prefix_space: false, use_regex });
    const split = (pattern: string) => ({
      type: 'Split',
      pattern: { Regex: pattern },
      behavior: 'Isolated',
      invert: false,
    });
    const sequence = (...pretokenizers: object[]) => ({ type: 'Sequence', pretokenizers });
    const words = (digits: string) =>
      `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
    const cut = async (pre_tokenizer: object, model: object = {}, normalizer: object | null = null) => {
      const vocab = Object.fromEntries(Array.from({ length: 256 }, (_, i) => [String.fromCharCode(256 + i), i]));
      const source = files({
        'config.json': await tiny.read('config.json'),
        'model.safetensors': await tiny.read('model.safetensors'),
        'tokenizer.json': { normalizer, pre_tokenizer, model: { type: 'BPE', vocab, merges: [], ...model } },
        'tokenizer_config.json': {},
      });
      const { metadata } = await tensorsByName(await write(await openModel(source), source, 'F16'));
      return metadata.get('tokenizer.ggml.pre');
    };
    const [three, one] = [words('{1,3}'), words('')];
    expect(await cut(byteLevel(true))).toBe('gpt-2');
    expect(await cut(sequence({ type: 'Digits', individual_digits: true }, byteLevel(true)))).toBe('smollm');
    expect(await cut(sequence(split(three), byteLevel(false)), { ignore_merges: true })).toBe('llama-bpe');
    expect(await cut(sequence(split(three), byteLevel(false)))).toBe('dbrx');
    expect(await cut(sequence(split(one), byteLevel(false)), {}, { type: 'NFC' })).toBe('qwen2');
    await expectError(
      () => cut(sequence(split(one), byteLevel(false))),
      'unsupported',
      /in a way that llama\.cpp has no name/,
    );
  });

  it('gets a space before every text or before none, as its conversations are read', async () => {
    const bytes = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`);
    const tokens = ['<unk>', '<s>', '</s>', ...bytes, '▁', 'H', 'i', 'Hi', '▁Hi', '[I]', '[/I]'];
    const added = ['<unk>', '<s>', '</s>', '[I]', '[/I]'];
    const tokenizer = (scheme: string) => ({
      added_tokens: added.map((content) => ({ id: tokens.indexOf(content), content, special: true })),
      pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: scheme, split: false },
      decoder: null,
      model: {
        type: 'BPE',
        byte_fallback: true,
        unk_token: '<unk>',
        vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
        merges: [
          ['H', 'i'],
          ['▁', 'Hi'],
        ],
      },
    });
    const tiny = await tinyModel({ vocab_size: tokens.length });
    const written = async (scheme: string, template?: string) => {
      const source = files({
        'config.json': await tiny.read('config.json'),
        'model.safetensors': await tiny.read('model.safetensors'),
        'tokenizer.json': tokenizer(scheme),
        'tokenizer_config.json': { bos_token: '<s>', eos_token: '</s>', chat_template: template ?? null },
      });
      const model = await openModel(source);
      return { model, file: await openModel(alone(await write(model, source, 'F16'))) };
    };
    const chat = "{{ bos_token }}{% for m in messages %}{{ '[I]' + m.content + '[/I]' }}{% endfor %}";
    const ids = ({ tokenizer: own }: HubModel, text: string) => own!.encode(text, { addSpecialTokens: false });
    const [hi, spaced] = ['Hi', '▁Hi'].map((token) => tokens.indexOf(token));
    const cases = [
      { made: await written('always'), alone: spaced, after: spaced },
      { made: await written('never'), alone: hi, after: hi },
      { made: await written('first'), alone: spaced, after: spaced },
      { made: await written('first', chat), alone: hi, after: hi },
    ];
    for (const { made, alone: first, after } of cases) {
      expect(ids(made.file, 'Hi')).toEqual([first]);
      expect(ids(made.file, '<s>[I]Hi').at(-1)).toBe(after);
    }
    // What is asked in conversations is read as the model reads it.
    const { model, file } = cases[3]!.made;
    expect(ids(file, '<s>[I]Hi[/I]')).toEqual(ids(model, '<s>[I]Hi[/I]'));
  });

  it('is refused where it cuts text in a way that has no name', async () => {
    const starter = folder('public/models/starter');
    const tokenizer = JSON.parse(Buffer.from(await starter.read('tokenizer.json')).toString()) as object;
    const odd = { type: 'Split', pattern: { Regex: '[aeiou]' }, behavior: 'Isolated', invert: false };
    const pieces = {
      type: 'Sequence',
      pretokenizers: [odd, { type: 'ByteLevel', add_prefix_space: false, use_regex: false }],
    };
    const source = files({
      'config.json': await starter.read('config.json'),
      'model.safetensors': await starter.read('model.safetensors'),
      'tokenizer_config.json': await starter.read('tokenizer_config.json'),
      'tokenizer.json': { ...tokenizer, pre_tokenizer: pieces },
    });
    const model = await openModel(source);
    await expectError(
      () => write(model, source, 'F16'),
      'unsupported',
      /cuts text in a way that llama\.cpp has no name for/,
    );
  });
});

describe('what llama.cpp has no way to say', () => {
  const change = async (path: string, config: object) => {
    const source = await hubLayout(alone(new Uint8Array(readFileSync(path))));
    const own = JSON.parse(Buffer.from(await source.read('config.json')).toString()) as object;
    const changed = files({
      'config.json': { ...own, ...config },
      'model.safetensors': await source.read('model.safetensors'),
    });
    return { source: changed, model: await openModel(changed) };
  };

  it.each([
    [
      'qwen2',
      {
        rope_scaling: {
          rope_type: 'llama3',
          factor: 8,
          low_freq_factor: 1,
          high_freq_factor: 4,
          original_max_position_embeddings: 64,
        },
      },
      /doesn't scale .* by llama3/,
    ],
    ['smollm3', { no_rope_layers: [1, 0, 1, 1] }, /smollm3 computes with another layers than the model/],
    ['gemma2', { final_logit_softcapping: null }, /gemma2 computes with another logitSoftcap/],
  ])('is refused (%s)', async (name, config, message) => {
    const { source, model } = await change(`test/golden/gguf/${name}.gguf`, config);
    await expectError(() => write(model, source, 'F16'), 'unsupported', message);
  });

  it('but scales of scores go into the queries, and windows are said', async () => {
    const gemma = await change('test/golden/gguf/gemma2.gguf', { query_pre_attn_scalar: 32 });
    const written = await openModel(alone(await write(gemma.model, gemma.source, 'F32')));
    const queries = async (model: HubModel) => {
      for await (const { name, bytes, dtype } of model.weights()) {
        if (name === 'model.layers.0.self_attn.q_proj.weight') return toFloat32(bytes, dtype);
      }
      throw new Error('no queries');
    };
    const [own, stored] = [await queries(gemma.model), await queries(written)];
    // Heads of 8 are scaled by their size in llama.cpp, and by 32 in this model.
    expect(stored).toEqual(own.map((value) => value * Math.sqrt(8 / 32)));

    const qwen = await change('test/golden/gguf/qwen2.gguf', {
      use_sliding_window: true,
      sliding_window: 8,
      max_window_layers: 0,
    });
    const { spec, dtypes } = qwen.model;
    const order = [...dtypes.keys()];
    const plan = await planGguf({ name: 'q', spec, order, type: 'F16', source: qwen.source, asked: qwen.model });
    expect(plan.notices).toContainEqual(
      expect.stringMatching(/layers that see 8 tokens only; in llama\.cpp they see all/),
    );
  });

  it('as values that F16 has not are refused', async () => {
    const starter = folder('public/models/starter');
    const tensors = await readAll(starter, 'model.safetensors');
    const big = tensors.map((tensor) => {
      if (!tensor.name.endsWith('layers.0.mlp.up_proj.weight')) return tensor;
      const bytes = tensor.bytes.slice();
      new DataView(bytes.buffer).setUint16(0, 0x7f00, true);
      return { ...tensor, bytes };
    });
    const source = files({
      'config.json': await starter.read('config.json'),
      'model.safetensors': writeSafetensors(big),
    });
    await expectError(
      async () => write(await openModel(source), source, 'F16'),
      'bad-file',
      /which F16 can't hold: choose BF16/,
    );
  });
});
