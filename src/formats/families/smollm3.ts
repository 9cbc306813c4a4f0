/** SmolLM 3: Llama in which every fourth layer has no rotary embedding (arXiv:2501.18795). */
import { GraftError } from '../../core/errors';
import type { DecoderSpec } from '../../core/spec';
import type { JsonObject } from '../json';
import { LIMITS, readActivation, readSizes } from './config';
import type { Family } from './family';
import { readLayerTypes, readWindow, windowOf } from './layers';
import { readRope } from './rope';

export const smollm3: Family = {
  modelType: 'smollm3',
  architecture: 'SmolLM3ForCausalLM',
  readSpec,
};

/** Defaults are those of Transformers' SmolLM3Config. */
function readSpec(config: JsonObject): DecoderSpec {
  const sizes = readSizes(config, 'smollm3', {
    num_key_value_heads: 4,
    max_position_embeddings: 32_768,
    rms_norm_eps: 1e-6,
    tie_word_embeddings: true,
  });
  const rotated = readRotated(config, sizes.numLayers);
  const window = readWindow(config, undefined);
  const slides = config.boolean('use_sliding_window') === true && window !== undefined;
  const types = readLayerTypes(config, sizes.numLayers, (layer) =>
    slides && !rotated[layer] ? 'sliding_attention' : 'full_attention',
  );
  return {
    ...sizes,
    attentionBias: config.boolean('attention_bias') ?? false,
    mlpBias: config.boolean('mlp_bias') ?? false,
    activation: readActivation(config, 'hidden_act', 'silu'),
    rope: readRope(config, sizes, { theta: 2_000_000 }),
    layers: types.map((type, layer) => ({
      rope: rotated[layer] ? 'global' : 'none',
      ...windowOf(config, type, window),
    })),
  };
}

/** `no_rope_layers`, which holds a 1 for each layer that has a rotary embedding, whatever its name says. */
function readRotated(config: JsonObject, numLayers: number): boolean[] {
  const listed = config.numbers('no_rope_layers');
  if (!listed) {
    const interval = config.size('no_rope_layer_interval', LIMITS.num_hidden_layers) ?? 4;
    return Array.from({ length: numLayers }, (_, layer) => (layer + 1) % interval !== 0);
  }
  if (listed.length < numLayers) {
    throw new GraftError(
      'bad-config',
      `${config.where}: no_rope_layers has ${listed.length} entries for ${numLayers} layers.`,
    );
  }
  return listed.slice(0, numLayers).map((flag) => flag !== 0);
}
