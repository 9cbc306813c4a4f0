import { describe, expect, it } from 'vitest';
import { elementCount, fromFloat32 } from '../../../src/core/dtypes';
import { parameters, type DecoderSpec } from '../../../src/core/spec';
import type { WeightTensor } from '../../../src/core/weights';
import { openModel, readSpec } from '../../../src/formats/model';
import { writeSafetensors } from '../../../src/formats/safetensors';
import { hasReference, reference } from '../../support/reference';
import { expectError, files, folder } from './support';

const CONFIG = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  vocab_size: 16,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  rope_theta: 5000,
  tie_word_embeddings: false,
};

const specOf = (config: object) => readSpec(files({ 'config.json': config }));

function tensor(name: string, shape: readonly number[], dtype: WeightTensor['dtype'] = 'f32'): WeightTensor {
  return { name, shape, dtype, bytes: fromFloat32(new Float32Array(elementCount(shape)), dtype) };
}

const tensorsOf = (spec: DecoderSpec) => parameters(spec).map(({ name, shape }) => tensor(name, shape));

async function drain(stream: AsyncIterable<WeightTensor>): Promise<WeightTensor[]> {
  const tensors: WeightTensor[] = [];
  for await (const item of stream) tensors.push(item);
  return tensors;
}

describe.skipIf(!hasReference)('models of the reference', () => {
  it.each([
    ['models/stories260K', 5, true],
    ['golden/families/llama2', 2, false],
    ['golden/families/llama3', 2, true],
    ['golden/families/tinyllama', 2, false],
    ['golden/families/mistral', 2, false],
    ['golden/families/qwen2', 2, true],
    ['golden/families/qwen3', 2, true],
    ['golden/families/phi3', 2, false],
    ['golden/families/smollm3', 4, true],
    ['golden/families/gemma2', 2, true],
    ['golden/families/gemma3', 4, true],
  ])('opens %s', async (path, layers, tied) => {
    const model = await openModel(folder(reference(path)));
    expect(model.spec.numLayers).toBe(layers);
    expect(model.spec.tieWordEmbeddings).toBe(tied);
    const tensors = await drain(model.weights());
    expect(tensors.map(({ name }) => name).sort()).toEqual(
      parameters(model.spec)
        .map(({ name }) => name)
        .sort(),
    );
    expect(tensors.reduce((sum, { bytes }) => sum + bytes.byteLength, 0)).toBe(model.weightBytes);
    expect(model.weightDType).toBe('f32');
    expect(model.tokenizer === undefined).toBe(path.startsWith('golden'));
  });

  it('reads the llama3 rope scaling', async () => {
    const { rope } = await readSpec(folder(reference('golden', 'families', 'llama3')));
    const expected = { theta: 500_000, factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositions: 64 };
    expect(rope).toEqual({ type: 'llama3', ...expected });
  });
});

describe('the built-in starter', () => {
  it('opens with its tokenizer, template and turn end', async () => {
    const { tokenizer, template } = await openModel(folder('public/models/starter'));
    expect(template?.source).toBe('tokenizer_config.json');
    expect(tokenizer?.stopTokenIds.map((id) => tokenizer.decode([id], { skipSpecialTokens: false }))).toContain(
      '<|end|>',
    );
    expect(tokenizer?.stopTokenIds).not.toContain(tokenizer?.padTokenId);
  });
});

describe('readSpec', () => {
  it('reads both forms of rotary settings alike', async () => {
    const { rope_theta, ...rest } = CONFIG;
    const llama3 = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 32 };
    const older = await specOf({ ...CONFIG, rope_scaling: { type: 'llama3', ...llama3 } });
    const old = await specOf({ ...CONFIG, rope_scaling: { rope_type: 'llama3', ...llama3 } });
    const newer = await specOf({ ...rest, rope_parameters: { rope_type: 'llama3', rope_theta, ...llama3 } });
    expect(old).toEqual(older);
    expect(newer).toEqual(older);
    expect(older.rope).toMatchObject({ type: 'llama3', theta: 5000, originalMaxPositions: 32 });
    expect((await specOf({ ...CONFIG, rope_scaling: null })).rope).toEqual({ type: 'default', theta: 5000 });
  });

  it("fills in LlamaConfig's defaults", async () => {
    const absent = { num_key_value_heads: undefined, rope_theta: undefined, rms_norm_eps: undefined };
    const spec = await specOf({ ...CONFIG, ...absent });
    expect(spec).toMatchObject({ numKeyValueHeads: 2, headDim: 4, rmsNormEps: 1e-6, attentionBias: false });
    expect(spec.rope).toEqual({ type: 'default', theta: 10_000 });
  });

  it.each([
    [{ hidden_size: 0 }, 'bad-config', /hidden_size must be a whole number from 1/],
    [{ hidden_size: 8.5 }, 'bad-config', /hidden_size/],
    [{ hidden_size: '8' }, 'bad-config', /hidden_size .* but is "8"/],
    [{ vocab_size: 1e12 }, 'bad-config', /vocab_size/],
    [{ num_hidden_layers: -2 }, 'bad-config', /num_hidden_layers/],
    [{ intermediate_size: undefined }, 'bad-config', /no intermediate_size/],
    [{ num_attention_heads: 3 }, 'bad-config', /num_attention_heads 3/],
    [{ num_attention_heads: 4, head_dim: 2, num_key_value_heads: 3 }, 'bad-config', /no multiple/],
    [{ rms_norm_eps: -1 }, 'bad-config', /rms_norm_eps/],
    [{ hidden_act: 'gelu' }, 'unsupported', /hidden_act is "gelu"/],
    [{ rope_scaling: { type: 'yarn', factor: 2 } }, 'unsupported', /rope_type is "yarn"/],
    [{ rope_scaling: { rope_type: 'llama3', factor: 2 } }, 'bad-config', /rope_scaling has no low_freq_factor/],
    [{ partial_rotary_factor: 0.5 }, 'unsupported', /partial_rotary_factor/],
    [{ rope_scaling: { type: 'dynamic', factor: 2 } }, 'unsupported', /rope_type is "dynamic"/],
    [{ model_type: 'mamba', architectures: ['MambaForCausalLM'] }, 'unsupported', /MambaForCausalLM/],
    [{ architectures: ['LlamaForSequenceClassification'] }, 'unsupported', /LlamaForSequenceClassification/],
    [{ quantization_config: { quant_method: 'gptq' } }, 'unsupported', /already quantised/],
  ] as const)('refuses %j', async (change, code, message) => {
    await expectError(() => specOf({ ...CONFIG, ...change }), code, message);
  });

  it('refuses a folder without a config, and one whose config is not JSON', async () => {
    await expectError(() => readSpec(files({})), 'not-found', /test-model has no config\.json/);
    await expectError(() => readSpec(files({ 'config.json': '{' })), 'bad-file', /config\.json .* not valid JSON/);
  });
});

describe('openModel', () => {
  it('reads shards through the index, and each tensor once', async () => {
    const spec = await specOf(CONFIG);
    const tensors = tensorsOf(spec);
    const shards = {
      'model-00001-of-00002.safetensors': tensors.slice(0, 7),
      'model-00002-of-00002.safetensors': tensors.slice(7),
    };
    const weightMap = Object.entries(shards).flatMap(([file, held]) =>
      held.map(({ name }): [string, string] => [name, file]),
    );
    const model = await openModel(
      files({
        'config.json': CONFIG,
        'model.safetensors.index.json': { metadata: {}, weight_map: Object.fromEntries(weightMap) },
        ...Object.fromEntries(
          Object.entries(shards).map(([file, held]): [string, Uint8Array] => [file, writeSafetensors(held)]),
        ),
      }),
    );
    const names = (await drain(model.weights())).map(({ name }) => name);
    expect(names.sort()).toEqual(tensors.map(({ name }) => name).sort());
  });

  it('refuses an index that points outside the folder', async () => {
    const source = files({
      'config.json': CONFIG,
      'model.safetensors.index.json': { weight_map: { 'model.norm.weight': '../secret.safetensors' } },
    });
    await expectError(() => openModel(source), 'bad-file', /no safetensors file/);
  });

  it('leaves out a head that is tied, and reports the dtype that most weights have', async () => {
    const config = { ...CONFIG, tie_word_embeddings: true };
    const halves = parameters(await specOf(config)).map(({ name, shape }) =>
      tensor(name, shape, name.includes('norm') ? 'f32' : 'bf16'),
    );
    const stored = writeSafetensors([...halves, tensor('lm_head.weight', [16, 8])]);
    const model = await openModel(files({ 'config.json': config, 'model.safetensors': stored }));
    expect(model.weightDType).toBe('bf16');
    expect((await drain(model.weights())).map(({ name }) => name)).not.toContain('lm_head.weight');
  });

  describe('a tied head that is stored too', () => {
    const config = { ...CONFIG, tie_word_embeddings: true };
    const values = (last: number) => Float32Array.from({ length: 128 }, (_, i) => (i === 127 ? last : i / 4));
    const open = async (embedding: WeightTensor['dtype'], head: WeightTensor['dtype'], last: number) => {
      const table = (name: string, dtype: WeightTensor['dtype'], end: number): WeightTensor => {
        return { name, shape: [16, 8], dtype, bytes: fromFloat32(values(end), dtype) };
      };
      const rest = tensorsOf(await specOf(config)).slice(1);
      const tensors = [table('model.embed_tokens.weight', embedding, 5), ...rest, table('lm_head.weight', head, last)];
      return openModel(files({ 'config.json': config, 'model.safetensors': writeSafetensors(tensors) }));
    };

    it.each([
      ['f32', 'f32'],
      ['bf16', 'bf16'],
      ['bf16', 'f32'],
    ] as const)('is the embedding where it equals it (%s, %s)', async (embedding, head) => {
      const model = await open(embedding, head, 5);
      expect(model.spec.tieWordEmbeddings).toBe(true);
      expect(model.notices).toEqual([]);
    });

    it.each([
      ['f32', 'f32'],
      ['f16', 'f16'],
      ['bf16', 'f32'],
    ] as const)('is a head of its own where it differs, and that is said (%s, %s)', async (embedding, head) => {
      const model = await open(embedding, head, 6);
      expect(model.spec.tieWordEmbeddings).toBe(false);
      expect(model.notices).toEqual([
        expect.stringMatching(/tie_word_embeddings: true, but .* lm_head\.weight that diff/),
      ]);
      expect((await drain(model.weights())).map(({ name }) => name)).toContain('lm_head.weight');
    });
  });

  it('takes an index with another total_size, which nobody reads', async () => {
    const tensors = tensorsOf(await specOf(CONFIG));
    const index = {
      metadata: { total_size: 7 },
      weight_map: Object.fromEntries(tensors.map(({ name }) => [name, 'model-00001-of-00001.safetensors'])),
    };
    const model = await openModel(
      files({
        'config.json': CONFIG,
        'model.safetensors.index.json': index,
        'model-00001-of-00001.safetensors': writeSafetensors(tensors),
      }),
    );
    expect(model.weightBytes).toBe(tensors.reduce((sum, { bytes }) => sum + bytes.byteLength, 0));
  });

  it.each([
    ['model.layers.0.mlp.up_proj.weight.absmax', 'bitsandbytes, 4 bits'],
    ['model.layers.0.mlp.up_proj.weight.quant_state.bitsandbytes__nf4', 'bitsandbytes, 4 bits'],
    ['model.layers.0.mlp.up_proj.SCB', 'bitsandbytes, 8 bits'],
    ['model.layers.0.mlp.up_proj.qweight', 'GPTQ or AWQ'],
    ['model.layers.0.mlp.up_proj.weight_scale_inv', 'FP8'],
    ['model.layers.0.mlp.up_proj.weight_packed', 'compressed-tensors'],
  ])('says of weights beside %s that they are quantised (%s)', async (mark, method) => {
    const stored = writeSafetensors([tensor('model.layers.0.mlp.up_proj.weight', [48, 1]), tensor(mark, [4])]);
    const source = files({ 'config.json': CONFIG, 'model.safetensors': stored });
    await expectError(() => openModel(source), 'unsupported', new RegExp(`quantised already \\(${method}; there is`));
  });

  it('says of bytes where a weight should be that they are quantised', async () => {
    const weight = {
      name: 'model.layers.0.mlp.up_proj.weight',
      shape: [48, 1],
      dtype: 'u8',
      bytes: new Uint8Array(48),
    };
    const source = files({ 'config.json': CONFIG, 'model.safetensors': writeSafetensors([weight as WeightTensor]) });
    await expectError(() => openModel(source), 'unsupported', /quantised already \(bitsandbytes, 4 bits/);
  });

  it.each([
    ['config.json', '<!DOCTYPE html><html><body>Sign in</body></html>', /config\.json of .* is a web page/],
    [
      'config.json',
      '{\n  "hidden_size": 8,\n  "layers": tru\n}',
      /not valid JSON: line 3, column 13: unexpected "tru"\. Download it again/,
    ],
    ['config.json', '{"hidden_size": 8', /line 1, column 18: it ends too early\. Download it again/],
    [
      'model.safetensors',
      'version https://git-lfs.github.com/spec/v1\noid',
      /model\.safetensors of .* is a Git LFS pointer/,
    ],
    ['tokenizer.json', 'version https://git-lfs.github.com/spec/v1\noid', /tokenizer\.json of .* is a Git LFS pointer/],
    ['chat_template.jinja', '<html><head><title>401</title>', /chat_template\.jinja of .* is a web page/],
  ])('says what stands in place of %s', async (file, content, message) => {
    const starter = folder('public/models/starter');
    const held: Record<string, Uint8Array | string> = {};
    for (const name of await starter.list()) held[name] = await starter.read(name);
    await expectError(() => openModel(files({ ...held, [file]: content })), 'bad-file', message);
  });

  it('says of the folder of an adapter what it belongs to', async () => {
    const adapter = files({ 'adapter_config.json': { base_model_name_or_path: 'org/base' }, 'README.md': '' });
    const line = /is an adapter of org\/base and no model: .*--model org\/base --adapter test-model/;
    await expectError(() => openModel(adapter), 'not-found', line);
    await expectError(() => readSpec(adapter), 'not-found', line);
  });

  it('names a tensor that is missing, misshapen, or not of the model', async () => {
    const tensors = tensorsOf(await specOf(CONFIG));
    const open = (held: WeightTensor[]) =>
      openModel(files({ 'config.json': CONFIG, 'model.safetensors': writeSafetensors(held) }));
    await expectError(() => open(tensors.slice(1)), 'bad-file', /lacks the tensor model\.embed_tokens\.weight/);
    const misshapen = tensors.map((item, i) => (i === 0 ? tensor(item.name, [8, 16]) : item));
    await expectError(() => open(misshapen), 'bad-file', /shape \[8, 16\], but config\.json calls for \[16, 8\]/);
    const extra = tensor('model.layers.0.self_attn.q_norm.weight', [4]);
    await expectError(() => open([...tensors, extra]), 'unsupported', /q_norm/);
  });

  it('says which other weights a folder has', async () => {
    const config = { 'config.json': CONFIG };
    await expectError(() => openModel(files(config)), 'not-found', /no model\.safetensors/);
    await expectError(
      () => openModel(files({ ...config, 'pytorch_model.bin': 'x' })),
      'unsupported',
      /pytorch_model\.bin/,
    );
  });
});
