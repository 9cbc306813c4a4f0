/** Llama 1 to 3 and everything saved as `LlamaForCausalLM` (TinyLlama, SmolLM2, …). */
import { GraftError } from '../../core/errors';
import { quote } from '../../core/format';
import type { DecoderSpec, RopeSpec } from '../../core/spec';
import type { JsonObject } from '../json';
import type { Family } from './index';

/** Sizes beyond these are typing errors or attacks: each is several times that of the largest open Llama (405B). */
const LIMITS = {
  vocab_size: 4_194_304,
  hidden_size: 131_072,
  intermediate_size: 524_288,
  num_hidden_layers: 1024,
  num_attention_heads: 1024,
  head_dim: 1024,
  max_position_embeddings: 16_777_216,
} as const;

export const llama: Family = {
  modelType: 'llama',
  architecture: 'LlamaForCausalLM',
  readSpec,
};

/** Defaults are those of Transformers' LlamaConfig; the sizes that make the model have none here. */
function readSpec(config: JsonObject): DecoderSpec {
  const optional = (key: keyof typeof LIMITS) => config.size(key, LIMITS[key]);
  const size = (key: keyof typeof LIMITS) => config.required(key, optional(key));
  const hiddenSize = size('hidden_size');
  const numHeads = size('num_attention_heads');
  const numKeyValueHeads = config.size('num_key_value_heads', LIMITS.num_attention_heads) ?? numHeads;
  const headDim = optional('head_dim') ?? hiddenSize / numHeads;
  if (!Number.isInteger(headDim) || headDim % 2 !== 0) {
    throw new GraftError(
      'bad-config',
      `${config.where}: hidden_size ${hiddenSize} over num_attention_heads ${numHeads} gives heads of ${headDim}, ` +
        'but a head must have an even whole size.',
    );
  }
  if (numHeads % numKeyValueHeads !== 0) {
    throw new GraftError(
      'bad-config',
      `${config.where}: num_attention_heads ${numHeads} is no multiple of num_key_value_heads ${numKeyValueHeads}.`,
    );
  }
  const activation = config.string('hidden_act') ?? 'silu';
  if (activation !== 'silu' && activation !== 'swish') {
    throw new GraftError(
      'unsupported',
      `${config.where}: hidden_act is ${quote(activation)}; Graft computes silu only.`,
    );
  }
  const maxPositions = optional('max_position_embeddings') ?? 2048;
  return {
    family: 'llama',
    vocabSize: size('vocab_size'),
    hiddenSize,
    intermediateSize: size('intermediate_size'),
    numLayers: size('num_hidden_layers'),
    numHeads,
    numKeyValueHeads,
    headDim,
    rmsNormEps: config.positive('rms_norm_eps') ?? 1e-6,
    maxPositions,
    tieWordEmbeddings: config.boolean('tie_word_embeddings') ?? false,
    attentionBias: config.boolean('attention_bias') ?? false,
    mlpBias: config.boolean('mlp_bias') ?? false,
    rope: readRope(config, maxPositions),
  };
}

/**
 * Rotary embedding from either form: `rope_parameters` (Transformers 5), or `rope_theta` beside `rope_scaling`, whose
 * kind is called `rope_type` or, in older files, `type`.
 */
function readRope(config: JsonObject, maxPositions: number): RopeSpec {
  const parameters = config.object('rope_parameters') ?? config.object('rope_scaling');
  const theta = parameters?.positive('rope_theta') ?? config.positive('rope_theta') ?? 10_000;
  const type = parameters?.string('rope_type') ?? parameters?.string('type') ?? 'default';
  const rotated = parameters?.positive('partial_rotary_factor') ?? config.positive('partial_rotary_factor') ?? 1;
  if (rotated !== 1) {
    throw new GraftError(
      'unsupported',
      `${config.where}: partial_rotary_factor is ${rotated}; Graft rotates whole heads only.`,
    );
  }
  if (type === 'default' || !parameters) return { type: 'default', theta };
  if (type !== 'llama3') {
    throw new GraftError(
      'unsupported',
      `${parameters.where}: rope_type is ${quote(type)}; Graft computes default and llama3 only.`,
    );
  }
  const needed = (key: string) => parameters.required(key, parameters.positive(key));
  const lowFreqFactor = needed('low_freq_factor');
  const highFreqFactor = needed('high_freq_factor');
  if (lowFreqFactor >= highFreqFactor) {
    throw new GraftError('bad-config', `${parameters.where}: low_freq_factor must be below high_freq_factor.`);
  }
  const original = 'original_max_position_embeddings';
  return {
    type: 'llama3',
    theta,
    factor: needed('factor'),
    lowFreqFactor,
    highFreqFactor,
    originalMaxPositions:
      parameters.size(original, LIMITS.max_position_embeddings) ??
      config.size(original, LIMITS.max_position_embeddings) ??
      maxPositions,
  };
}
