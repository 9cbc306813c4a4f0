import type { DecoderSpec, LoraSpec } from '../../src/core/spec';

/** A decoder small enough for any adapter, with sizes that are no multiple of a tile. */
export const tinySpec: DecoderSpec = {
  family: 'llama',
  vocabSize: 37,
  hiddenSize: 24,
  intermediateSize: 36,
  numLayers: 2,
  numHeads: 3,
  numKeyValueHeads: 1,
  headDim: 8,
  rmsNormEps: 1e-5,
  maxPositions: 64,
  tieWordEmbeddings: false,
  attentionBias: false,
  mlpBias: false,
  rope: { type: 'default', theta: 10000 },
};

export const tinyLora: LoraSpec = {
  r: 3,
  alpha: 6,
  dropout: 0.1,
  targetModules: ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'],
  useRslora: false,
  useDora: false,
};
