/** The architectures of GGUF files that Graft knows, and what each stores under which key: for reading and for writing. */
import type { DecoderSpec } from '../../core/spec';

/** What the names and the order of a file's tensors depend on. */
export interface GgufArchitecture {
  /** `general.architecture`, which also starts the names of its keys. */
  readonly name: string;
  readonly heads: number;
  readonly keyValueHeads: number;
  /** `fused`: qkv and gate-up in one. `sandwiched`: norms before and after each block. */
  readonly layerNames: 'plain' | 'fused' | 'sandwiched';
  /** Whether rows of q and k are in the order of Meta's rotary embedding instead of the Hub's. */
  readonly rotary: 'halves' | 'interleaved';
  /** Whether norms are stored with the 1 added that the family adds. */
  readonly norms: 'plain' | 'shifted';
}

/** The metadata of one file, with the architecture's prefix left out of names. */
export interface Facts {
  readonly where: string;
  readonly architecture: string;
  readonly layers: number;
  readonly heads: number;
  readonly hiddenSize: number;
  readonly headDim: number;
  readonly tables: RopeTables;
  number(key: string): number | undefined;
  text(key: string): string | undefined;
  has(tensor: string): boolean;
}

/** Tables of the rotary embedding, which GGUF keeps as tensors. */
export type RopeTables = ReadonlyMap<RopeTable, readonly number[]>;
export type RopeTable = 'rope_freqs' | 'rope_factors_long' | 'rope_factors_short';

/** A number of the model, as llama.cpp keeps it and as config.json calls it. */
export interface NumberKey {
  /** Behind the architecture's name. */
  readonly gguf: string;
  readonly config: string;
  readonly kind: 'u32' | 'f32';
  /** What config.json gets where a file has none: null, or nothing at all where it is undefined. Without it, a file must have one. */
  readonly absent?: (facts: Facts) => number | null | undefined;
  /** Whether 0 stands for none. */
  readonly zeroIsNone?: boolean;
  /** Undefined is not written. */
  valueOf(spec: DecoderSpec): number | undefined;
}

export interface Family extends Pick<GgufArchitecture, 'layerNames' | 'rotary' | 'norms'> {
  readonly modelType: string;
  /** The `model_type`s that are written as this architecture, as llama.cpp's converter does. */
  readonly writtenFrom: readonly string[];
  readonly hubName: string;
  /** The kinds of rotary scaling that llama.cpp computes for it. */
  readonly ropeTypes: readonly DecoderSpec['rope']['type'][];
  /** Whether llama.cpp takes the embedding for its head, whatever else a file holds. */
  readonly alwaysTied?: boolean;
  /** Numbers beside those that all have. */
  readonly keys: readonly NumberKey[];
  /** Other keys of config.json. */
  readonly extra: (facts: Facts) => Record<string, unknown>;
}

/** The tokens that a query sees in layers with a window: 0 where there are none. */
function windowOf(spec: DecoderSpec): number {
  return spec.layers?.find(({ window }) => window !== undefined)?.window ?? 0;
}

/** Of Gemma 3: every sixth layer sees all tokens. */
const USUAL_PATTERN = 6;

/** Layers up to the first that sees all tokens, where that isn't the sixth. */
function layersToGlobal({ layers = [] }: DecoderSpec): number | undefined {
  const count = layers.findIndex(({ window }) => window === undefined) + 1;
  return count === 0 || count === USUAL_PATTERN ? undefined : count;
}

/** Numbers that every architecture has. */
export const COMMON_KEYS: readonly NumberKey[] = [
  u32('block_count', 'num_hidden_layers', (spec) => spec.numLayers),
  u32('context_length', 'max_position_embeddings', (spec) => spec.maxPositions),
  u32('embedding_length', 'hidden_size', (spec) => spec.hiddenSize),
  u32('feed_forward_length', 'intermediate_size', (spec) => spec.intermediateSize),
  u32('attention.head_count', 'num_attention_heads', (spec) => spec.numHeads),
  u32(
    'attention.head_count_kv',
    'num_key_value_heads',
    (spec) => spec.numKeyValueHeads,
    ({ heads }) => heads,
  ),
  u32(
    'attention.key_length',
    'head_dim',
    (spec) => spec.headDim,
    ({ headDim }) => headDim,
  ),
  f32('attention.layer_norm_rms_epsilon', 'rms_norm_eps', (spec) => spec.rmsNormEps),
  f32(
    'rope.freq_base',
    'rope_theta',
    (spec) => spec.rope.theta,
    () => 10_000,
  ),
];

const SLIDING_WINDOW: NumberKey = {
  ...u32('attention.sliding_window', 'sliding_window', windowOf, () => null),
  zeroIsNone: true,
};
const LOGIT_SOFTCAP = f32(
  'final_logit_softcapping',
  'final_logit_softcapping',
  (spec) => spec.logitSoftcap,
  () => null,
);

const attentionSoftcap = (spec: DecoderSpec) => spec.attentionSoftcap;

const LINEAR = ['default', 'linear'] as const;

const PLAIN = {
  layerNames: 'plain',
  rotary: 'halves',
  norms: 'plain',
  ropeTypes: LINEAR,
  keys: [],
  extra: () => ({}),
} as const;
const GEMMA = { layerNames: 'sandwiched', rotary: 'halves', norms: 'shifted', ropeTypes: LINEAR } as const;

export const ARCHITECTURES: Readonly<Record<string, Family>> = {
  llama: {
    ...PLAIN,
    modelType: 'llama',
    writtenFrom: ['llama', 'mistral'],
    hubName: 'LlamaForCausalLM',
    rotary: 'interleaved',
    ropeTypes: [...LINEAR, 'llama3'],
    extra: ({ has }) => ({ attention_bias: has('blk.0.attn_q.bias'), mlp_bias: has('blk.0.ffn_gate.bias') }),
  },
  mistral3: {
    ...PLAIN,
    modelType: 'mistral',
    writtenFrom: [],
    hubName: 'MistralForCausalLM',
    rotary: 'interleaved',
    keys: [SLIDING_WINDOW],
  },
  smollm3: {
    ...PLAIN,
    modelType: 'smollm3',
    writtenFrom: ['smollm3'],
    hubName: 'SmolLM3ForCausalLM',
    rotary: 'interleaved',
  },
  qwen2: {
    ...PLAIN,
    modelType: 'qwen2',
    writtenFrom: ['qwen2'],
    hubName: 'Qwen2ForCausalLM',
    extra: () => ({ use_sliding_window: false }),
  },
  qwen3: {
    ...PLAIN,
    modelType: 'qwen3',
    writtenFrom: ['qwen3'],
    hubName: 'Qwen3ForCausalLM',
    extra: ({ has }) => ({ use_sliding_window: false, attention_bias: has('blk.0.attn_q.bias') }),
  },
  phi3: {
    ...PLAIN,
    modelType: 'phi3',
    writtenFrom: ['phi3'],
    hubName: 'Phi3ForCausalLM',
    layerNames: 'fused',
    ropeTypes: [...LINEAR, 'longrope'],
    keys: [
      SLIDING_WINDOW,
      u32(
        'rope.scaling.original_context_length',
        'original_max_position_embeddings',
        ({ rope }) => (rope.type === 'longrope' ? rope.originalMaxPositions : undefined),
        () => undefined,
      ),
    ],
  },
  gemma2: {
    ...GEMMA,
    modelType: 'gemma2',
    writtenFrom: ['gemma2'],
    hubName: 'Gemma2ForCausalLM',
    alwaysTied: true,
    keys: [
      // What llama.cpp takes where a file doesn't say it.
      f32('attn_logit_softcapping', 'attn_logit_softcapping', attentionSoftcap, () => 50),
      { ...LOGIT_SOFTCAP, absent: () => 30 },
      { ...SLIDING_WINDOW, absent: () => 4096 },
    ],
    extra: (facts) => gemma(facts, 46),
  },
  gemma3: {
    ...GEMMA,
    modelType: 'gemma3_text',
    writtenFrom: ['gemma3_text'],
    hubName: 'Gemma3ForCausalLM',
    keys: [
      LOGIT_SOFTCAP,
      SLIDING_WINDOW,
      u32('attention.sliding_window_pattern', 'sliding_window_pattern', layersToGlobal, () => USUAL_PATTERN),
      f32(
        'rope.freq_base_swa',
        'rope_local_base_freq',
        (spec) => spec.localRope?.theta,
        () => 10_000,
      ),
    ],
    extra: (facts) => gemma(facts, 62),
  },
};

function u32(gguf: string, config: string, valueOf: NumberKey['valueOf'], absent?: NumberKey['absent']): NumberKey {
  return { gguf, config, kind: 'u32', valueOf, ...(absent && { absent }) };
}

function f32(gguf: string, config: string, valueOf: NumberKey['valueOf'], absent?: NumberKey['absent']): NumberKey {
  return { ...u32(gguf, config, valueOf, absent), kind: 'f32' };
}

/**
 * GGUF doesn't say how Gemma scales its scores. As in llama.cpp, the 27B models, told by their layers, go by the width
 * over the heads, and all others by the size of a head.
 */
function gemma({ layers, heads, hiddenSize, headDim }: Facts, layersOf27B: number): Record<string, unknown> {
  return {
    hidden_activation: 'gelu_pytorch_tanh',
    query_pre_attn_scalar: layers === layersOf27B ? hiddenSize / heads : headDim,
  };
}
