/** Llama 1 to 3 and everything saved as `LlamaForCausalLM` (TinyLlama, SmolLM2, …). */
import type { DecoderSpec } from '../../core/spec';
import type { JsonObject } from '../json';
import { readActivation, readSizes } from './config';
import type { Family } from './family';
import { readRope } from './rope';

export const llama: Family = {
  modelType: 'llama',
  architecture: 'LlamaForCausalLM',
  loraTargets: ['q_proj', 'v_proj'],
  readSpec,
};

/** Defaults are those of Transformers' LlamaConfig; the sizes that make the model have none here. */
function readSpec(config: JsonObject): DecoderSpec {
  const sizes = readSizes(config, 'llama', {
    max_position_embeddings: 2048,
    rms_norm_eps: 1e-6,
    tie_word_embeddings: false,
  });
  return {
    ...sizes,
    attentionBias: config.boolean('attention_bias') ?? false,
    mlpBias: config.boolean('mlp_bias') ?? false,
    activation: readActivation(config, 'hidden_act', 'silu'),
    rope: readRope(config, sizes),
  };
}
