/** Configs as the Hub has them, read as Transformers reads them. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { elementCount } from '../../../src/core/dtypes';
import { layerSpec, parameters, type DecoderSpec } from '../../../src/core/spec';
import { readSpec } from '../../../src/formats/model';
import { resolveTargetModules } from '../../../src/formats/peft';
import { expectError, files } from './support';

type Config = Record<string, unknown>;

const specOf = (config: Config) => readSpec(files({ 'config.json': config }));
const configOf = (model: string) =>
  JSON.parse(readFileSync(`test/fixtures/configs/${model}/config.json`, 'utf8')) as Config;
const countParameters = (spec: DecoderSpec) =>
  parameters(spec).reduce((sum, { shape }) => sum + elementCount(shape), 0);
const layersOf = (spec: DecoderSpec) => Array.from({ length: spec.numLayers }, (_, layer) => layerSpec(spec, layer));

/** As in Phi-3's long-context models: a factor for each of 48 pairs of channels (here other values than theirs). */
const LONGROPE = {
  short_factor: Array.from({ length: 48 }, (_, i) => 1 + i / 16),
  long_factor: Array.from({ length: 48 }, (_, i) => 1 + i),
};
const LONG_PHI = { ...configOf('Phi-3-mini-4k'), max_position_embeddings: 131_072, sliding_window: 262_144 };

describe('parameters of known models', () => {
  it.each([
    ['TinyLlama-1.1B', 1_100_048_384],
    ['Llama-3.2-1B', 1_235_814_400],
    ['Llama-3.1-8B', 8_030_261_248],
    ['SmolLM2-135M', 134_515_008],
    ['SmolLM3-3B', 3_075_098_624],
    ['Mistral-7B-v0.1', 7_241_732_096],
    ['Mistral-7B-v0.3', 7_248_023_552],
    ['Qwen2.5-0.5B', 494_032_768],
    ['Qwen3-0.6B', 596_049_920],
    ['Phi-3-mini-4k', 3_821_079_552],
    ['gemma-2-2b', 2_614_341_888],
    ['gemma-3-1b', 999_885_952],
  ])('%s has %i', async (model, count) => {
    expect(countParameters(await specOf(configOf(model)))).toBe(count);
  });
});

describe('windows', () => {
  const windowsOf = (spec: DecoderSpec) => layersOf(spec).map(({ window }) => window);

  it('span all layers of Mistral v0.1, and are gone in v0.3, whose key is null', async () => {
    expect(new Set(windowsOf(await specOf(configOf('Mistral-7B-v0.1'))))).toEqual(new Set([4096]));
    expect((await specOf(configOf('Mistral-7B-v0.3'))).layers).toBeUndefined();
    const silent = { ...configOf('Mistral-7B-v0.1'), sliding_window: undefined };
    expect(windowsOf(await specOf(silent))[31]).toBe(4096);
  });

  it('begin at max_window_layers in Qwen, where they are used', async () => {
    const qwen = configOf('Qwen2.5-0.5B');
    expect((await specOf(qwen)).layers).toBeUndefined();
    const sliding = windowsOf(await specOf({ ...qwen, use_sliding_window: true, max_window_layers: 22 }));
    expect(sliding.slice(20)).toEqual([undefined, undefined, 32_768, 32_768]);
    const listed = Array.from({ length: 24 }, (_, i) => (i === 3 ? 'sliding_attention' : 'full_attention'));
    const byList = await specOf({ ...qwen, use_sliding_window: true, sliding_window: 100, layer_types: listed });
    expect(windowsOf(byList).flatMap((window, i) => (window === undefined ? [] : [[i, window]]))).toEqual([[3, 100]]);
  });

  it('alternate in Gemma 2, and leave every sixth layer of Gemma 3 alone', async () => {
    const gemma2 = windowsOf(await specOf(configOf('gemma-2-2b')));
    expect(gemma2.slice(0, 4)).toEqual([4096, undefined, 4096, undefined]);
    const gemma3 = layersOf(await specOf(configOf('gemma-3-1b')));
    expect(gemma3[4]).toEqual({ rope: 'local', window: 512 });
    expect(gemma3[5]).toEqual({ rope: 'global' });
    expect(gemma3.filter(({ rope }) => rope === 'global')).toHaveLength(4);
  });
});

describe('rotary embedding', () => {
  it('skips every fourth layer of SmolLM 3', async () => {
    const spec = await specOf(configOf('SmolLM3-3B'));
    expect(layersOf(spec).map(({ rope }) => rope)).toEqual(
      Array.from({ length: 36 }, (_, i) => (i % 4 === 3 ? 'none' : 'global')),
    );
    expect(spec.rope).toEqual({ type: 'default', theta: 5_000_000 });
    const flags = Array.from({ length: 36 }, (_, i) => Number(i > 0));
    expect(layersOf(await specOf({ ...configOf('SmolLM3-3B'), no_rope_layers: flags }))[0]).toEqual({ rope: 'none' });
  });

  it.each(['longrope', 'su'])('of long Phi-3 has two lists of factors (%s)', async (type) => {
    const { rope } = await specOf({ ...LONG_PHI, rope_scaling: { type, ...LONGROPE } });
    expect(rope).toEqual({
      type: 'longrope',
      theta: 10_000,
      shortFactor: LONGROPE.short_factor,
      longFactor: LONGROPE.long_factor,
      originalMaxPositions: 4096,
      attentionFactor: Math.sqrt(1 + Math.log(32) / Math.log(4096)),
    });
  });

  it('of Phi-3 may rotate a part of each head', async () => {
    const rope_parameters = { rope_type: 'default', rope_theta: 10_000, partial_rotary_factor: 0.75 };
    const { rope } = await specOf({ ...configOf('Phi-3-mini-4k'), rope_parameters });
    expect(rope).toEqual({ type: 'default', theta: 10_000, rotaryDim: 72 });
  });

  it('of Gemma 3 is one for windows and one for the rest, in both forms', async () => {
    const { rope_theta, rope_local_base_freq, ...rest } = configOf('gemma-3-1b');
    const scaled = { factor: 8, rope_type: 'linear' };
    const old = await specOf({ ...rest, rope_theta, rope_local_base_freq, rope_scaling: scaled });
    expect(old.rope).toEqual({ type: 'linear', theta: 1_000_000, factor: 8 });
    expect(old.localRope).toEqual({ type: 'default', theta: 10_000 });
    const rope_parameters = {
      full_attention: { ...scaled, rope_theta },
      sliding_attention: { rope_type: 'default', rope_theta: rope_local_base_freq },
    };
    expect(await specOf({ ...rest, rope_parameters })).toEqual(old);
  });
});

describe('Gemma', () => {
  it('gets what its config leaves out from the defaults of Transformers', async () => {
    const spec = await specOf({ architectures: ['Gemma2ForCausalLM'], model_type: 'gemma2' });
    expect(spec).toEqual(await specOf(configOf('gemma-2-2b')));
    expect(spec).toMatchObject({ attentionSoftcap: 50, logitSoftcap: 30, attentionScale: 1 / 16, embeddingScale: 48 });
    const gemma3 = await specOf({ architectures: ['Gemma3ForCausalLM'], model_type: 'gemma3_text' });
    expect(gemma3).toMatchObject({ vocabSize: 262_208, tieWordEmbeddings: true, queryKeyNorms: true });
    expect(gemma3.logitSoftcap).toBeUndefined();
  });

  it('has no caps where they are null', async () => {
    const caps = { attn_logit_softcapping: null, final_logit_softcapping: null };
    const spec = await specOf({ ...configOf('gemma-2-2b'), ...caps });
    expect(spec.attentionSoftcap).toBeUndefined();
    expect(spec.logitSoftcap).toBeUndefined();
  });
});

describe('targets of LoRA', () => {
  it('are the names of fused projections where there are such', async () => {
    const phi = await specOf(configOf('Phi-3-mini-4k'));
    expect(resolveTargetModules('all-linear', phi)).toEqual(['qkv_proj', 'o_proj', 'gate_up_proj', 'down_proj']);
    await expectError(() => Promise.resolve(resolveTargetModules(['q_proj'], phi)), 'bad-config', /has qkv_proj/);
  });

  it('may be paths, as PEFT saves all-linear of small models', async () => {
    const smol = await specOf(configOf('SmolLM2-135M'));
    expect(resolveTargetModules(['self_attn.v_proj', 'q_proj'], smol)).toEqual(['q_proj', 'v_proj']);
    const one = 'model.layers.3.mlp.up_proj';
    expect(resolveTargetModules([one], smol)).toEqual([one]);
  });

  it("are PEFT's choice for the family with auto, where it has one", async () => {
    const auto = async (model: string) => resolveTargetModules('auto', await specOf(configOf(model)));
    for (const model of ['Llama-3.2-1B', 'Mistral-7B-v0.3', 'Qwen2.5-0.5B', 'Qwen3-0.6B', 'gemma-2-2b', 'gemma-3-1b']) {
      expect(await auto(model)).toEqual(['q_proj', 'v_proj']);
    }
    await expectError(() => auto('Phi-3-mini-4k'), 'bad-config', /no modules of its own choice for phi3/);
    await expectError(() => auto('SmolLM3-3B'), 'bad-config', /smollm3/);
  });
});

describe('configs that are refused', () => {
  const qwen = configOf('Qwen2.5-0.5B');
  it.each([
    [{ ...qwen, layer_types: ['full_attention'] }, 'bad-config', /layer_types has 1 entries for 24 layers/],
    [{ ...qwen, layer_types: ['chunked_attention'] }, 'unsupported', /chunked_attention/],
    [
      { ...qwen, layer_types: Array<string>(24).fill('sliding_attention') },
      'bad-config',
      /no sliding_window, which the model needs/,
    ],
    [{ ...configOf('SmolLM3-3B'), no_rope_layers: [1, 0] }, 'bad-config', /no_rope_layers has 2 entries for 36/],
    [{ ...configOf('SmolLM3-3B'), no_rope_layers: ['1'] }, 'bad-config', /no_rope_layers must be a list of numbers/],
    [
      { ...LONG_PHI, rope_scaling: { type: 'longrope', ...LONGROPE, long_factor: [1] } },
      'bad-config',
      /long_factor has 1 factors, but 48/,
    ],
    [{ ...LONG_PHI, partial_rotary_factor: 0.01 }, 'bad-config', /partial_rotary_factor 0.01 rotates 0 of 96/],
    [{ ...configOf('gemma-2-2b'), use_bidirectional_attention: true }, 'unsupported', /use_bidirectional_attention/],
    [{ ...configOf('gemma-3-1b'), hidden_activation: 'gelu' }, 'unsupported', /hidden_activation is "gelu"/],
    [
      { architectures: ['Gemma3ForConditionalGeneration'], model_type: 'gemma3' },
      'unsupported',
      /Gemma3ForConditionalGeneration.*can train: LlamaForCausalLM \(llama\), .*Gemma3ForCausalLM/,
    ],
    [
      { ...qwen, architectures: ['Qwen2MoeForCausalLM'], model_type: 'qwen2_moe' },
      'unsupported',
      /Qwen2MoeForCausalLM/,
    ],
  ] as const)('%#', async (config, code, message) => {
    await expectError(() => specOf(config), code, message);
  });
});
