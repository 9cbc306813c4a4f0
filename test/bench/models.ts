/** The models whose shapes are benched. Weights are random: only the shapes matter. */
import type { DecoderSpec, LoraSpec } from '../../src/core/spec';

export interface BenchModel {
  readonly name: string;
  readonly spec: DecoderSpec;
}

const common = { rmsNormEps: 1e-5, maxPositions: 8192, attentionBias: false, mlpBias: false } as const;
const rope = { type: 'default', theta: 500_000 } as const;

export const LLAMA_1B: BenchModel = {
  name: 'Llama-3.2-1B',
  spec: {
    ...common,
    rope,
    family: 'llama',
    vocabSize: 128_256,
    hiddenSize: 2048,
    intermediateSize: 8192,
    numLayers: 16,
    numHeads: 32,
    numKeyValueHeads: 8,
    headDim: 64,
    tieWordEmbeddings: true,
  },
};

export const MODELS: readonly BenchModel[] = [
  LLAMA_1B,
  {
    name: 'Qwen2.5-0.5B',
    spec: {
      ...common,
      rope,
      family: 'qwen2',
      vocabSize: 151_936,
      hiddenSize: 896,
      intermediateSize: 4864,
      numLayers: 24,
      numHeads: 14,
      numKeyValueHeads: 2,
      headDim: 64,
      tieWordEmbeddings: true,
    },
  },
  {
    name: 'Phi-3-mini',
    spec: {
      ...common,
      rope,
      family: 'phi3',
      vocabSize: 32_064,
      hiddenSize: 3072,
      intermediateSize: 8192,
      numLayers: 32,
      numHeads: 32,
      numKeyValueHeads: 32,
      headDim: 96,
      tieWordEmbeddings: false,
    },
  },
  {
    name: 'Llama-3-8B',
    spec: {
      ...common,
      rope,
      family: 'llama',
      vocabSize: 128_256,
      hiddenSize: 4096,
      intermediateSize: 14_336,
      numLayers: 32,
      numHeads: 32,
      numKeyValueHeads: 8,
      headDim: 128,
      tieWordEmbeddings: false,
    },
  },
];

/** Rank 16 on every linear of a layer. */
export const LORA: LoraSpec = {
  r: 16,
  alpha: 32,
  dropout: 0,
  targetModules: ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'],
  useRslora: false,
  useDora: false,
};
