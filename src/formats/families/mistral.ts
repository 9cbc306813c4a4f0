/** Mistral 7B and its like (arXiv:2310.06825): Llama with a window over all layers, where the config has one. */
import type { DecoderSpec } from '../../core/spec';
import type { JsonObject } from '../json';
import { readActivation, readSizes } from './config';
import type { Family } from './family';
import { readWindow, windows } from './layers';
import { readRope } from './rope';

export const mistral: Family = {
  modelType: 'mistral',
  architecture: 'MistralForCausalLM',
  loraTargets: ['q_proj', 'v_proj'],
  readSpec,
};

/** Defaults are those of Transformers' MistralConfig. From v0.2 on the window is null: there is none. */
function readSpec(config: JsonObject): DecoderSpec {
  const sizes = readSizes(config, 'mistral', {
    num_key_value_heads: 8,
    max_position_embeddings: 131_072,
    rms_norm_eps: 1e-6,
    tie_word_embeddings: false,
  });
  const window = readWindow(config, 4096);
  const type = window === undefined ? 'full_attention' : 'sliding_attention';
  return {
    ...sizes,
    attentionBias: false,
    mlpBias: false,
    activation: readActivation(config, 'hidden_act', 'silu'),
    rope: readRope(config, sizes),
    ...windows(
      config,
      Array.from({ length: sizes.numLayers }, () => type),
      window,
    ),
  };
}
