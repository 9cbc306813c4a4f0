/** Phi-3, Phi-3.5 and Phi-4 (arXiv:2404.14219): fused projections, and LongRoPE in the long-context models. */
import type { DecoderSpec } from '../../core/spec';
import { JsonObject } from '../json';
import { readActivation, readSizes } from './config';
import type { Family } from './family';
import { readWindow, windows } from './layers';
import { readRope } from './rope';

export const phi3: Family = {
  modelType: 'phi3',
  architecture: 'Phi3ForCausalLM',
  readSpec,
};

/** Names that LongRoPE had before it was called so. */
const OLD_NAMES = new Set(['su', 'yarn']);

/** Defaults are those of Transformers' Phi3Config. */
function readSpec(config: JsonObject): DecoderSpec {
  const sizes = readSizes(config, 'phi3', {
    max_position_embeddings: 4096,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: false,
  });
  const window = readWindow(config, undefined);
  const type = window === undefined ? 'full_attention' : 'sliding_attention';
  return {
    ...sizes,
    attentionBias: false,
    mlpBias: false,
    fusedProjections: true,
    activation: readActivation(config, 'hidden_act', 'silu'),
    rope: readRope(withNewNames(config), sizes, { partial: true, originalMaxPositions: 4096 }),
    ...windows(
      config,
      Array.from({ length: sizes.numLayers }, () => type),
      window,
    ),
  };
}

function withNewNames(config: JsonObject): JsonObject {
  const renamed = ['rope_scaling', 'rope_parameters'].flatMap((key) => {
    const parameters = config.object(key);
    const type = parameters?.string('rope_type') ?? parameters?.string('type');
    return parameters && type !== undefined && OLD_NAMES.has(type)
      ? [[key, { ...parameters.value, rope_type: 'longrope' }] as const]
      : [];
  });
  return new JsonObject(config.where, { ...config.value, ...Object.fromEntries(renamed) });
}
