/** Qwen 2 and 2.5 (biases on queries, keys and values) and Qwen 3 (norms on queries and keys instead). */
import type { DecoderSpec } from '../../core/spec';
import type { JsonObject } from '../json';
import { readActivation, readSizes, type SizeDefaults } from './config';
import type { Family } from './family';
import { readLayerTypes, readWindow, windows } from './layers';
import { readRope } from './rope';

export const qwen2: Family = {
  modelType: 'qwen2',
  architecture: 'Qwen2ForCausalLM',
  loraTargets: ['q_proj', 'v_proj'],
  readSpec: (config) => ({ ...readCommon(config, 'qwen2', {}), attentionBias: 'qkv' }),
};

export const qwen3: Family = {
  modelType: 'qwen3',
  architecture: 'Qwen3ForCausalLM',
  loraTargets: ['q_proj', 'v_proj'],
  readSpec: (config) => ({
    ...readCommon(config, 'qwen3', { head_dim: 128 }),
    attentionBias: config.boolean('attention_bias') ?? false,
    queryKeyNorms: true,
  }),
};

/** Defaults are those of Transformers' Qwen2Config and Qwen3Config. */
function readCommon(
  config: JsonObject,
  family: string,
  defaults: Partial<SizeDefaults>,
): Omit<DecoderSpec, 'attentionBias'> {
  const sizes = readSizes(config, family, {
    num_key_value_heads: 32,
    max_position_embeddings: 32_768,
    rms_norm_eps: 1e-6,
    tie_word_embeddings: false,
    ...defaults,
  });
  const window = config.boolean('use_sliding_window') ? readWindow(config, 4096) : undefined;
  const firstWindow = config.count('max_window_layers') ?? 28;
  const types = readLayerTypes(config, sizes.numLayers, (layer) =>
    window !== undefined && layer >= firstWindow ? 'sliding_attention' : 'full_attention',
  );
  return {
    ...sizes,
    mlpBias: false,
    activation: readActivation(config, 'hidden_act', 'silu'),
    rope: readRope(config, sizes),
    ...windows(config, types, window),
  };
}
