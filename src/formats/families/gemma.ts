/** Gemma 2 (arXiv:2408.00118) and the language model of Gemma 3 (arXiv:2503.19786). */
import { GraftError } from '../../core/errors';
import type { DecoderSpec } from '../../core/spec';
import type { JsonObject } from '../json';
import { LIMITS, readActivation, readSizes, type SizeDefaults } from './config';
import type { Family } from './family';
import { readLayerTypes, readWindow, windowOf } from './layers';
import { readRope, ropeFrom } from './rope';

export const gemma2: Family = {
  modelType: 'gemma2',
  architecture: 'Gemma2ForCausalLM',
  loraTargets: ['q_proj', 'v_proj'],
  readSpec: readGemma2,
};

export const gemma3: Family = {
  modelType: 'gemma3_text',
  architecture: 'Gemma3ForCausalLM',
  loraTargets: ['q_proj', 'v_proj'],
  readSpec: readGemma3,
};

/** Gemma's configs leave out what Transformers' Gemma2Config and Gemma3TextConfig have as default, sizes included. */
const DEFAULTS = {
  hidden_size: 2304,
  intermediate_size: 9216,
  num_hidden_layers: 26,
  num_attention_heads: 8,
  num_key_value_heads: 4,
  head_dim: 256,
  rms_norm_eps: 1e-6,
  tie_word_embeddings: true,
} as const;

function readGemma2(config: JsonObject): DecoderSpec {
  const common = readCommon(config, 'gemma2', {
    ...DEFAULTS,
    vocab_size: 256_000,
    max_position_embeddings: 8192,
  });
  const window = readWindow(config, 4096);
  const types = readLayerTypes(config, common.numLayers, (layer) =>
    layer % 2 === 0 ? 'sliding_attention' : 'full_attention',
  );
  return {
    ...common,
    ...softcap(config, 'attn_logit_softcapping', 'attentionSoftcap', 50),
    ...softcap(config, 'final_logit_softcapping', 'logitSoftcap', 30),
    rope: readRope(config, common),
    layers: types.map((type) => ({ rope: 'global', ...windowOf(config, type, window) })),
  };
}

/** Transformers reads `attn_logit_softcapping` for Gemma 3 and doesn't apply it. */
function readGemma3(config: JsonObject): DecoderSpec {
  const common = readCommon(config, 'gemma3_text', {
    ...DEFAULTS,
    vocab_size: 262_208,
    max_position_embeddings: 131_072,
  });
  const window = readWindow(config, 4096);
  const pattern = 'sliding_window_pattern';
  const interval = config.size(pattern, LIMITS.num_hidden_layers) ?? 6;
  const types = readLayerTypes(config, common.numLayers, (layer) =>
    (layer + 1) % interval === 0 ? 'full_attention' : 'sliding_attention',
  );
  const parameters = config.object('rope_parameters');
  const scaled = config.object('rope_scaling') ?? parameters?.object('full_attention');
  return {
    ...common,
    ...softcap(config, 'final_logit_softcapping', 'logitSoftcap', undefined),
    queryKeyNorms: true,
    rope: ropeFrom(config, scaled, common, { theta: 1_000_000 }),
    localRope: readLocalRope(config, parameters?.object('sliding_attention'), common),
    layers: types.map((type) => ({
      rope: type === 'sliding_attention' ? 'local' : 'global',
      ...windowOf(config, type, window),
    })),
  };
}

/** Layers with a window have a theta of their own, and no scaling of the older form. */
function readLocalRope(
  config: JsonObject,
  parameters: JsonObject | undefined,
  common: Pick<DecoderSpec, 'headDim' | 'maxPositions'>,
) {
  const theta = parameters?.positive('rope_theta') ?? config.positive('rope_local_base_freq') ?? 10_000;
  return { ...ropeFrom(config, parameters, common), theta };
}

function readCommon(
  config: JsonObject,
  family: string,
  defaults: SizeDefaults,
): Omit<DecoderSpec, 'rope' | 'localRope' | 'layers'> {
  if (config.boolean('use_bidirectional_attention') === true) {
    throw new GraftError(
      'unsupported',
      `${config.where}: use_bidirectional_attention is true; Graft trains models that see what came before only.`,
    );
  }
  const sizes = readSizes(config, family, defaults);
  return {
    ...sizes,
    attentionBias: config.boolean('attention_bias') ?? false,
    mlpBias: false,
    activation: readActivation(config, 'hidden_activation', 'gelu_pytorch_tanh'),
    sandwichNorms: true,
    normOffset: 1,
    embeddingScale: Math.sqrt(sizes.hiddenSize),
    attentionScale: 1 / Math.sqrt(config.positive('query_pre_attn_scalar') ?? 256),
  };
}

function softcap<K extends 'attentionSoftcap' | 'logitSoftcap'>(
  config: JsonObject,
  key: string,
  field: K,
  standard: number | undefined,
): Partial<Record<K, number>> {
  const cap = config.isNull(key) ? undefined : (config.positive(key) ?? standard);
  return (cap === undefined ? {} : { [field]: cap }) as Partial<Record<K, number>>;
}
