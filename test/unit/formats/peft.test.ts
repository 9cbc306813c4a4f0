import { readFileSync } from 'node:fs';
import { SafeTensor } from 'safetensors';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { elementCount } from '../../../src/core/dtypes';
import { adapterParameters, type DecoderSpec, type LoraSpec } from '../../../src/core/spec';
import { decodeUtf8 } from '../../../src/core/store';
import type { WeightTensor } from '../../../src/core/weights';
import { readSpec } from '../../../src/formats/model';
import { adapterFiles, checkAdapter, readAdapter, resolveTargetModules } from '../../../src/formats/peft';
import { readHeader, writeSafetensors } from '../../../src/formats/safetensors';
import { hasReference, reference } from '../../support/reference';
import { expectError, files, folder } from './support';

const ALL = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'];

const spec: DecoderSpec = {
  family: 'llama',
  vocabSize: 16,
  hiddenSize: 8,
  intermediateSize: 12,
  numLayers: 2,
  numHeads: 2,
  numKeyValueHeads: 1,
  headDim: 4,
  rmsNormEps: 1e-5,
  maxPositions: 64,
  tieWordEmbeddings: true,
  attentionBias: false,
  mlpBias: false,
  rope: { type: 'default', theta: 10_000 },
};
const lora: LoraSpec = {
  r: 2,
  alpha: 4,
  dropout: 0.1,
  targetModules: ['q_proj', 'down_proj'],
  useRslora: false,
  useDora: true,
};

function tensorsOf(adapter: LoraSpec, model = spec): WeightTensor[] {
  return adapterParameters(model, adapter).map(({ name, shape }, n) => {
    const values = Float32Array.from({ length: elementCount(shape) }, (_, i) => n + i / 8);
    return { name, shape, dtype: 'f32', bytes: new Uint8Array(values.buffer) };
  });
}

const byName = (a: WeightTensor, b: WeightTensor) => a.name.localeCompare(b.name);

function adapterFolder(change: object = {}, tensors = tensorsOf(lora)) {
  const written = adapterFiles({ lora, baseModel: 'org/base', revision: 'abc', tensors });
  const contents = Object.fromEntries(written.map(({ name, bytes }): [string, Uint8Array | object] => [name, bytes]));
  const config = JSON.parse(decodeUtf8(contents['adapter_config.json'] as Uint8Array)) as object;
  return files({ ...contents, 'adapter_config.json': { ...config, ...change } });
}

describe.skipIf(!hasReference)('adapters that PEFT wrote', () => {
  it.each([
    ['lora_all', { r: 8, alpha: 16, useRslora: false, useDora: false }, ALL],
    ['lora_qv', { r: 4, alpha: 8, useRslora: false, useDora: false }, ['q_proj', 'v_proj']],
    ['rslora', { r: 16, alpha: 16, useRslora: true, useDora: false }, ALL],
    ['dora', { r: 8, alpha: 16, useRslora: false, useDora: true }, ALL],
    ['qlora_nf4', {}, ALL],
  ])('reads %s', async (name, expected, targets) => {
    const model = await readSpec(folder(reference('models', 'stories260K')));
    const adapter = await readAdapter(folder(reference('golden', 'adapters', name, 'adapter_final')));
    expect(adapter.lora).toMatchObject(expected);
    expect([...adapter.lora!.targetModules].sort()).toEqual([...targets].sort());
    expect(adapter.baseModel).toBe('hf260k');
    checkAdapter(name, adapter, model);
  });

  it('writes a config with the values that PEFT wrote', async () => {
    const path = reference('golden', 'adapters', 'dora', 'adapter_final');
    const adapter = await readAdapter(folder(path));
    const [config, weights] = adapterFiles(adapter);
    const theirs = JSON.parse(readFileSync(`${path}/adapter_config.json`, 'utf8')) as Record<string, unknown>;
    const ours = JSON.parse(decodeUtf8(config!.bytes)) as Record<string, unknown>;
    for (const [key, value] of Object.entries(ours)) expect(value, key).toEqual(theirs[key]);
    expect(Buffer.compare(weights!.bytes, readFileSync(`${path}/adapter_model.safetensors`))).toBe(0);
  });
});

describe('adapter folders', () => {
  it('round trip', async () => {
    const source = adapterFolder();
    const adapter = await readAdapter(source);
    expect(adapter.lora).toEqual(lora);
    expect(adapter.baseModel).toBe('org/base');
    const byName = (list: readonly WeightTensor[]) => new Map(list.map((tensor) => [tensor.name, tensor]));
    expect(byName(adapter.tensors)).toEqual(byName(tensorsOf(lora)));
    checkAdapter('test', adapter, spec);
    const { metadata } = await readHeader(source, 'adapter_model.safetensors');
    expect(metadata.get('format')).toBe('pt'); // PEFT refuses a file without it
  });

  it('hold the bytes that the independent npm reader finds', () => {
    const reader = new SafeTensor(writeSafetensors(tensorsOf(lora)));
    for (const { name, bytes } of tensorsOf(lora)) expect([...reader.getTensor(name)]).toEqual([...bytes]);
  });

  it('expand half precision to f32', async () => {
    const halves = tensorsOf(lora).map((tensor): WeightTensor => {
      const bits = new Uint16Array(new Uint32Array(tensor.bytes.slice().buffer)).map(
        (_, i) => new Uint32Array(tensor.bytes.slice().buffer)[i]! >>> 16,
      );
      return { ...tensor, dtype: 'bf16', bytes: new Uint8Array(bits.buffer) };
    });
    const { tensors } = await readAdapter(adapterFolder({}, halves));
    const expected = tensorsOf(lora).find(({ name }) => name === tensors[0]!.name)!;
    expect(tensors[0]!.dtype).toBe('f32');
    expect([...new Float32Array(tensors[0]!.bytes.slice().buffer)]).toEqual([
      ...new Float32Array(expected.bytes.slice().buffer),
    ]);
  });

  it('say all-linear and mean the tensors they hold', async () => {
    const adapter = await readAdapter(adapterFolder({ target_modules: 'all-linear' }));
    expect(adapter.lora!.targetModules).toEqual(['down_proj', 'q_proj']);
  });

  it.each([
    [{ peft_type: 'LOHA' }, 'unsupported', /peft_type is "LOHA"/],
    [{ task_type: 'SEQ_CLS' }, 'unsupported', /task_type/],
    [{ bias: 'all' }, 'unsupported', /bias is "all"/],
    [{ modules_to_save: 'lm_head' }, 'bad-config', /modules_to_save/],
    [{ init_lora_weights: 'pissa' }, 'unsupported', /init_lora_weights is "pissa"/],
    [{ use_qalora: true }, 'unsupported', /use_qalora/],
    [{ some_later_option: 3 }, 'unsupported', /some_later_option is 3/],
    [{ target_modules: '(q_proj' }, 'unsupported', /target_modules holds "\(q_proj", a regular expression/],
    [{ target_modules: '.*_proj', layers_to_transform: [0] }, 'bad-config', /layers_to_transform goes with a list/],
    [{ lora_bias: true }, 'unsupported', /lora_bias/],
    [{ layer_replication: [[0, 1]] }, 'unsupported', /layer_replication/],
    [{ trainable_token_indices: { norm: [3] } }, 'unsupported', /trainable_token_indices names "norm"/],
    [{ trainable_token_indices: [3, -1] }, 'bad-config', /trainable_token_indices must be a list of token ids/],
    [{ trainable_token_indices: { lm_head: [3, 3] } }, 'bad-config', /each once/],
    [{ trainable_token_indices: 3 }, 'bad-config', /trainable_token_indices must be a list of token ids/],
    [{ target_parameters: ['mlp.experts'] }, 'unsupported', /target_parameters/],
    [{ alora_invocation_tokens: [1] }, 'unsupported', /alora_invocation_tokens/],
    [{ rank_pattern: { q_proj: 'x' } }, 'bad-config', /rank_pattern: q_proj must be a number/],
    [{ r: 0 }, 'bad-config', /r must be a whole number/],
    [{ lora_alpha: 'x' }, 'bad-config', /lora_alpha/],
    [{ lora_dropout: 1.5 }, 'bad-config', /lora_dropout/],
    [{ use_dora: 'yes' }, 'bad-config', /use_dora/],
  ] as const)('with %j are refused', async (change, code, message) => {
    await expectError(() => readAdapter(adapterFolder(change)), code, message);
  });

  it('keep modules that are saved whole, and a tied table under both names', async () => {
    for (const ensureWeightTying of [false, true]) {
      const saving: LoraSpec = { ...lora, modulesToSave: ['embed_tokens', 'norm'], ensureWeightTying };
      const tensors = tensorsOf(saving);
      const written = adapterFiles({ lora: saving, baseModel: 'org/base', tensors });
      const source = files(Object.fromEntries(written.map(({ name, bytes }) => [name, bytes])));
      const { tensors: stored } = await readHeader(source, 'adapter_model.safetensors');
      const tables = ['base_model.model.model.embed_tokens.weight', 'base_model.model.lm_head.weight'];
      const names = stored.map(({ name }) => name);
      expect(tables.map((name) => names.includes(name))).toEqual([true, ensureWeightTying]);
      expect(names).toContain('base_model.model.model.layers.1.input_layernorm.weight');
      const adapter = await readAdapter(source);
      expect(adapter.lora!.modulesToSave).toEqual(['embed_tokens', 'norm']);
      expect(adapter.lora!.ensureWeightTying ?? false).toBe(ensureWeightTying);
      expect([...adapter.tensors].sort(byName)).toEqual([...tensors].sort(byName));
      checkAdapter('saved', adapter, spec);
      const others = tensors.map((tensor) => ({
        ...tensor,
        name: tensor.name.replace(/(embed_tokens|norm)\.weight$/, '$1.modules_to_save.default.weight'),
      }));
      const [config] = written;
      const plain = files({ [config!.name]: config!.bytes, 'adapter_model.safetensors': writeSafetensors(others) });
      expect([...(await readAdapter(plain)).tensors].map(({ name }) => name).sort()).toEqual(
        tensors.map(({ name }) => name).sort(),
      );
    }
  });

  it('keep rows of tokens, under the names that PEFT gives them', async () => {
    const trainableTokens = { embed_tokens: [5, 2], lm_head: [7] };
    const untied = { ...spec, tieWordEmbeddings: false };
    const ofTokens: LoraSpec = { ...lora, trainableTokens };
    const tensors = tensorsOf(ofTokens, untied);
    const written = adapterFiles({ lora: ofTokens, baseModel: 'org/base', tensors });
    const source = files(Object.fromEntries(written.map(({ name, bytes }) => [name, bytes])));
    const { tensors: stored } = await readHeader(source, 'adapter_model.safetensors');
    const shapes = Object.fromEntries(stored.map(({ name, shape }) => [name, shape]));
    const delta = (module: string) => `base_model.model.${module}.token_adapter.trainable_tokens_delta`;
    expect(shapes[delta('model.embed_tokens')]).toEqual([2, spec.hiddenSize]);
    expect(shapes[delta('lm_head')]).toEqual([1, spec.hiddenSize]);
    const adapter = await readAdapter(source);
    expect(adapter.lora!.trainableTokens).toEqual(trainableTokens);
    checkAdapter('rows', adapter, untied);
    expect((await readAdapter(adapterFolder({ trainable_token_indices: [3] }))).lora!.trainableTokens).toEqual({
      embed_tokens: [3],
    });
    const beyond = { ...adapter, lora: { ...ofTokens, trainableTokens: { embed_tokens: [spec.vocabSize, 2] } } };
    await expectError(() => checkAdapter('rows', beyond, untied), 'bad-file', /has a row for token \d+, and the model/);
    const whole = { ...adapter, lora: { ...ofTokens, modulesToSave: ['lm_head'] } };
    await expectError(() => checkAdapter('rows', whole, untied), 'unsupported', /both lm_head\.weight whole and some/);
    // A tied head shares the rows of the embedding.
    await expectError(
      () => checkAdapter('rows', adapter, { ...spec, tieWordEmbeddings: true }),
      'unsupported',
      /lm_head/,
    );
  });

  it('are refused where a saved module is missing', async () => {
    const adapter = await readAdapter(adapterFolder({ modules_to_save: ['lm_head'] }));
    await expectError(
      () => checkAdapter('a', adapter, spec),
      'bad-file',
      /lacks the tensor base_model\.model\.lm_head/,
    );
  });

  it.each([NaN, Infinity, -Infinity])('are refused where a number in them is %s', async (wrong) => {
    const tensors = tensorsOf(lora);
    const { bytes, name } = tensors[1]!;
    new DataView(bytes.buffer).setFloat32(4, wrong, true);
    await expectError(
      () => readAdapter(adapterFolder({}, tensors)),
      'bad-file',
      new RegExp(
        `numbers that are not finite .* in ${name.replaceAll('.', '\\.')}: the training that wrote it diverged`,
      ),
    );
  });

  it('are refused where a file is missing or of another kind', async () => {
    await expectError(() => readAdapter(files({})), 'not-found', /no adapter_config\.json/);
    const bin = files({ 'adapter_config.json': { peft_type: 'LORA' }, 'adapter_model.bin': 'x' });
    await expectError(() => readAdapter(bin), 'unsupported', /adapter_model\.bin.*save_pretrained/);
    const model = files({ 'config.json': {} });
    await expectError(() => readAdapter(model), 'not-found', /it is a model folder, which goes with --model/);
  });
});

/** What an adapter of all q_proj and down_proj becomes on the model. */
async function openedAdapter(change: object, tensors = tensorsOf(lora)) {
  const adapter = await readAdapter(adapterFolder(change, tensors));
  checkAdapter('mine', adapter, spec);
  return { ...adapter.lora!, targets: resolveTargetModules(adapter.lora!.targetModules, spec) };
}

describe('what PEFT selects', () => {
  it.each([
    ['a pattern', { target_modules: 'model\\.layers\\.\\d+\\.(self_attn\\.q_proj|mlp\\.down_proj)' }],
    ['a pattern in Python syntax', { target_modules: '(?i)(?P<any>.*)\\.(Q_PROJ|down_proj)\\Z' }],
    ['names that the model lacks beside ones that it has', { target_modules: ['c_attn', 'q_proj', 'w2', 'down_proj'] }],
    ['longer names', { target_modules: ['self_attn.q_proj', 'mlp.down_proj'] }],
    ['excluded modules that match nothing', { exclude_modules: ['vision_tower', 'lm_head'] }],
    ['an excluding pattern that matches nothing', { exclude_modules: '.*vision.*' }],
    [
      'excluded modules that match',
      { target_modules: ['q_proj', 'k_proj', 'down_proj'], exclude_modules: ['self_attn.k_proj'] },
    ],
    ['an excluding pattern that matches', { target_modules: '.*_proj', exclude_modules: '.*\\.([kvo]|gate|up)_proj' }],
    [
      'all linears but some',
      { target_modules: 'all-linear', exclude_modules: ['k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj'] },
    ],
    ['layers that are all there are', { layers_to_transform: [0, 1], layers_pattern: 'layers' }],
    ['layers by a list of patterns', { layers_to_transform: [0, 1], layers_pattern: ['h', 'layers'] }],
    ['a pattern of layers without layers', { layers_pattern: 'layers' }],
    ['no targets, which PEFT chooses', { target_modules: null }],
    [
      'ranks and alphas that change nothing',
      { rank_pattern: { q_proj: 2, lm_head: 64 }, alpha_pattern: { down_proj: 4 } },
    ],
    ['ensure_weight_tying', { ensure_weight_tying: true }],
    ['fan_in_fan_out, which PEFT sets right for linears', { fan_in_fan_out: true }],
    [
      'options of later versions that are off',
      {
        use_qalora: false,
        qalora_group_size: 16,
        corda_config: null,
        eva_config: null,
        lora_ga_config: null,
        arrow_config: null,
        target_parameters: [],
        use_bdlora: null,
        alora_invocation_tokens: null,
        trainable_token_indices: null,
        peft_version: '0.19.0',
        some_later_option: false,
        another: {},
        loftq_config: { loftq_bits: 4 },
      },
    ],
    ['initialisations that keep the base', { init_lora_weights: 'gaussian' }],
  ])('%s', async (_what, change) => {
    const { targets, overrides, r, alpha } = await openedAdapter(change);
    expect(targets).toEqual(['q_proj', 'down_proj']);
    expect([overrides, r, alpha]).toEqual([undefined, 2, 4]);
  });

  it('layers_to_transform, where the tensors are of those layers only', async () => {
    const some = tensorsOf(lora).filter(({ name }) => name.includes('layers.1.'));
    for (const layers_to_transform of [1, [1]]) {
      const { targets } = await openedAdapter({ layers_to_transform }, some);
      expect(targets).toEqual(['model.layers.1.self_attn.q_proj', 'model.layers.1.mlp.down_proj']);
    }
    await expectError(() => openedAdapter({ layers_to_transform: [0] }), 'bad-file', /layers\.1\..* has no place/);
    await expectError(() => openedAdapter({}, some), 'bad-file', /lacks the tensor .*layers\.0/);
    await expectError(() => openedAdapter({ target_modules: '.*_proj' }), 'bad-file', /lacks the tensor .*k_proj/);
  });

  it('ranks and alphas of single modules', async () => {
    const change = { rank_pattern: { 'layers.1.self_attn.q_proj': 4 }, alpha_pattern: { q_proj: 16 } };
    const overrides = {
      'model.layers.0.self_attn.q_proj': { r: 2, alpha: 16 },
      'model.layers.1.self_attn.q_proj': { r: 4, alpha: 16 },
    };
    expect((await openedAdapter(change, tensorsOf({ ...lora, overrides }))).overrides).toEqual(overrides);
    await expectError(() => openedAdapter(change), 'bad-file', /layers\.1.* has shape \[2, 8\], .*calls for \[4, 8\]/);
  });

  it("r and lora_alpha are PEFT's where the config leaves them out", async () => {
    const wide = tensorsOf({ ...lora, r: 8 });
    expect(await openedAdapter({ r: null, lora_alpha: null }, wide)).toMatchObject({ r: 8, alpha: 8 });
  });
});

describe('names of tensors', () => {
  const renamed = (change: (name: string) => string) =>
    tensorsOf(lora).map((tensor) => ({ ...tensor, name: change(tensor.name) }));
  const names = tensorsOf(lora).map(({ name }) => name);

  it.each([
    ['with the name of the adapter', (name: string) => name.replace(/(lora_[AB])/, '$1.default')],
    ['with another name', (name: string) => name.replace(/(lora_[AB]|lora_magnitude_vector)/, '$1.mine')],
    ['with magnitudes as a module', (name: string) => name.replace(/vector$/, 'vector.default.weight')],
    ["without PEFT's prefix", (name: string) => name.replace('base_model.model.', '')],
    ['of a compiled model', (name: string) => name.replace('base_model.model.', 'base_model.model._orig_mod.')],
    ['of a wrapped model', (name: string) => `module.${name}`],
  ])('%s', async (_what, change) => {
    const { tensors } = await readAdapter(adapterFolder({}, renamed(change)));
    expect(tensors.map(({ name }) => name).sort()).toEqual([...names].sort());
    await openedAdapter({}, renamed(change));
  });

  it('of two adapters, of an embedding or of another kind are refused', async () => {
    const both = renamed((name) => name.replace('lora_A', 'lora_A.first').replace('lora_B', 'lora_B.second'));
    await expectError(() => openedAdapter({}, both), 'unsupported', /several adapters \(first, second\)/);
    const more = (name: string) => [...tensorsOf(lora), { ...tensorsOf(lora)[0]!, name: `base_model.model.${name}` }];
    await expectError(() => openedAdapter({}, more('lm_head.lora_A.weight')), 'unsupported', /embedding or the head/);
    await expectError(() => openedAdapter({}, more('model.embed_tokens.weight')), 'unsupported', /embedding or the/);
    await expectError(() => openedAdapter({}, more('model.x.lora_C.weight')), 'unsupported', /lora_C.* of a kind/);
  });
});

describe('checkAdapter', () => {
  const check =
    (change: Partial<LoraSpec>, tensors = tensorsOf(lora)) =>
    () =>
      checkAdapter('mine', { lora: { ...lora, ...change }, baseModel: '', tensors }, spec);

  it('names what does not fit', async () => {
    await expectError(
      check({}, tensorsOf(lora).slice(1)),
      'bad-file',
      /lacks the tensor .*layers\.0\.self_attn\.q_proj\.lora_A/,
    );
    await expectError(check({ r: 3 }), 'bad-file', /shape \[2, 8\], but the model calls for \[3, 8\]/);
    await expectError(check({ useDora: false }), 'bad-file', /lora_magnitude_vector, which has no place/);
    await expectError(check({ targetModules: ['lm_head'] }), 'bad-config', /names "lm_head"; this model has q_proj/);
  });
});

describe('resolveTargetModules', () => {
  it('gives names of the model in forward order', async () => {
    expect(resolveTargetModules('all-linear', spec)).toEqual(ALL);
    expect(resolveTargetModules(['v_proj', 'q_proj'], spec)).toEqual(['q_proj', 'v_proj']);
    await expectError(() => resolveTargetModules([], spec), 'bad-config', /is empty/);
  });
});

describe('the model card', () => {
  it('has front matter that the Hub reads, and figures', () => {
    const card = { dataset: 'a|b', facts: { 'Final loss': 0.02 }, runYaml: 'seed: 42\n# ```\n' };
    const [, , readme] = adapterFiles({ lora, baseModel: 'org/name: "odd"', tensors: tensorsOf(lora), card });
    const text = decodeUtf8(readme!.bytes);
    const [, frontMatter, body] = /^---\n([\s\S]*?)---\n([\s\S]*)$/.exec(text)!;
    expect(parse(frontMatter!)).toMatchObject({
      base_model: 'org/name: "odd"',
      library_name: 'peft',
      pipeline_tag: 'text-generation',
    });
    expect(body).toContain('| Final loss | 0.02 |');
    expect(body).toContain('| Trained on | a\\|b |');
    expect(body).toContain('````yaml\nseed: 42\n# ```\n````');
  });
});
