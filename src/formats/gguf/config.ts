/** GGUF metadata as a Hub config.json: llama.cpp's keys under the names that Transformers gives them. */
import { GraftError } from '../../core/errors';
import { quote } from '../../core/format';
import type { JsonObject } from '../json';
import type { GgufHeader } from './header';
import { shortest } from './numbers';
import { llama3Scaling } from './rope';

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

/** Tables of the rotary embedding, which GGUF keeps as tensors. */
export type RopeTables = ReadonlyMap<'rope_freqs' | 'rope_factors_long' | 'rope_factors_short', readonly number[]>;

interface Family {
  readonly modelType: string;
  readonly hubName: string;
  readonly layerNames: GgufArchitecture['layerNames'];
  readonly rotary: GgufArchitecture['rotary'];
  readonly norms: GgufArchitecture['norms'];
  /** Keys of config.json beside those that all have. */
  readonly extra: (facts: Facts) => Record<string, unknown>;
}

const PLAIN = { layerNames: 'plain', rotary: 'halves', norms: 'plain' } as const;
const GEMMA = { layerNames: 'sandwiched', rotary: 'halves', norms: 'shifted' } as const;

const FAMILIES: Readonly<Record<string, Family>> = {
  llama: {
    modelType: 'llama',
    hubName: 'LlamaForCausalLM',
    ...PLAIN,
    rotary: 'interleaved',
    extra: ({ has }) => ({ attention_bias: has('blk.0.attn_q.bias'), mlp_bias: has('blk.0.ffn_gate.bias') }),
  },
  mistral3: {
    modelType: 'mistral',
    hubName: 'MistralForCausalLM',
    ...PLAIN,
    rotary: 'interleaved',
    extra: slidingWindow,
  },
  smollm3: { modelType: 'smollm3', hubName: 'SmolLM3ForCausalLM', ...PLAIN, rotary: 'interleaved', extra: () => ({}) },
  qwen2: { modelType: 'qwen2', hubName: 'Qwen2ForCausalLM', ...PLAIN, extra: () => ({ use_sliding_window: false }) },
  qwen3: {
    modelType: 'qwen3',
    hubName: 'Qwen3ForCausalLM',
    ...PLAIN,
    extra: ({ has }) => ({ use_sliding_window: false, attention_bias: has('blk.0.attn_q.bias') }),
  },
  phi3: { modelType: 'phi3', hubName: 'Phi3ForCausalLM', ...PLAIN, layerNames: 'fused', extra: phi3 },
  gemma2: {
    modelType: 'gemma2',
    hubName: 'Gemma2ForCausalLM',
    ...GEMMA,
    extra: (facts) => ({
      ...gemma(facts, 46),
      attn_logit_softcapping: facts.number('attn_logit_softcapping') ?? null,
      sliding_window: facts.number('attention.sliding_window') ?? 4096,
    }),
  },
  gemma3: {
    modelType: 'gemma3_text',
    hubName: 'Gemma3ForCausalLM',
    ...GEMMA,
    extra: (facts) => ({
      ...gemma(facts, 62),
      ...slidingWindow(facts),
      sliding_window_pattern: 6,
      rope_local_base_freq: facts.number('rope.freq_base_swa') ?? 10_000,
    }),
  },
};

/** The metadata of one file, with the architecture's prefix left out of names. */
interface Facts {
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

/**
 * The config.json that the converter read, as far as the file still tells. `tables` are the rotary tensors of the file.
 * @throws `unsupported` for an architecture or a rotary scaling that Graft doesn't know, `bad-config` for missing keys.
 */
export function configOf(
  header: GgufHeader,
  tables: RopeTables,
): { config: Record<string, unknown>; architecture: GgufArchitecture } {
  const { metadata, file, tensors } = header;
  const name = metadata.required('general.architecture', metadata.string('general.architecture'));
  const family = Object.hasOwn(FAMILIES, name) ? FAMILIES[name] : undefined;
  if (!family) {
    const known = Object.keys(FAMILIES).join(', ');
    throw new GraftError(
      'unsupported',
      `${file} has the architecture ${quote(name)}, which Graft can't train; it can train: ${known}.`,
    );
  }
  const number = (key: string) => numberOf(metadata, `${name}.${key}`);
  const needed = (key: string) => metadata.required(`${name}.${key}`, number(key));
  const vocabulary = tensors.find((tensor) => tensor.name === 'token_embd.weight');
  if (!vocabulary)
    throw new GraftError('bad-file', `${file} has no token_embd.weight: it holds no model, or a vocabulary alone.`);
  const names = new Set(tensors.map((tensor) => tensor.name));
  const heads = needed('attention.head_count');
  const hiddenSize = needed('embedding_length');
  const keyValueHeads = number('attention.head_count_kv') ?? heads;
  const facts: Facts = {
    where: file,
    architecture: name,
    layers: needed('block_count'),
    heads,
    hiddenSize,
    headDim: number('attention.key_length') ?? hiddenSize / heads,
    tables,
    number,
    text: (key) => metadata.string(`${name}.${key}`),
    has: (tensor) => names.has(tensor),
  };
  const rotated = number('rope.dimension_count') ?? facts.headDim;
  const config = {
    architectures: [family.hubName],
    model_type: family.modelType,
    vocab_size: vocabulary.shape[0],
    hidden_size: hiddenSize,
    intermediate_size: needed('feed_forward_length'),
    num_hidden_layers: facts.layers,
    num_attention_heads: heads,
    num_key_value_heads: keyValueHeads,
    head_dim: facts.headDim,
    max_position_embeddings: needed('context_length'),
    rms_norm_eps: needed('attention.layer_norm_rms_epsilon'),
    rope_theta: number('rope.freq_base') ?? 10_000,
    rope_scaling: ropeScaling(facts),
    ...(rotated !== facts.headDim && { partial_rotary_factor: rotated / facts.headDim }),
    tie_word_embeddings: !names.has('output.weight'),
    bos_token_id: metadata.get('tokenizer.ggml.bos_token_id') ?? null,
    eos_token_id: metadata.get('tokenizer.ggml.eos_token_id') ?? null,
    ...family.extra(facts),
  };
  const { layerNames, rotary, norms } = family;
  return { config, architecture: { name, heads, keyValueHeads, layerNames, rotary, norms } };
}

/** Numbers are f32 in the file and were decimal in the config: the shortest decimal that makes the same f32 is it. */
function numberOf(metadata: JsonObject, key: string): number | undefined {
  const value = metadata.get(key);
  if (value === undefined) return undefined;
  // Files of models whose layers differ have a list here.
  if (Array.isArray(value) && value.length > 0 && value.every((item) => item === value[0]))
    return numeric(metadata, key, value[0]);
  return numeric(metadata, key, value);
}

function numeric(metadata: JsonObject, key: string, value: unknown): number {
  if (typeof value !== 'number' || !Number.isFinite(value))
    throw metadata.wrong(key, 'a number, the same for every layer');
  return Number.isInteger(value) ? value : shortest(value);
}

function ropeScaling(facts: Facts): Record<string, unknown> | null {
  const { tables, number, text } = facts;
  const frequencies = tables.get('rope_freqs');
  if (frequencies)
    return { ...llama3Scaling(facts.where, frequencies, facts.headDim, number('rope.freq_base') ?? 10_000) };
  const long = tables.get('rope_factors_long');
  const short = tables.get('rope_factors_short');
  if (long && short) {
    return { rope_type: 'longrope', long_factor: long.map(shortest), short_factor: short.map(shortest) };
  }
  const type = text('rope.scaling.type') ?? 'none';
  const factor = number('rope.scaling.factor');
  if (type === 'none' || (type === 'linear' && factor === undefined)) return null;
  return {
    rope_type: type,
    factor,
    original_max_position_embeddings: number('rope.scaling.original_context_length'),
  };
}

function slidingWindow({ number }: Facts): Record<string, unknown> {
  const window = number('attention.sliding_window');
  return { sliding_window: window === undefined || window === 0 ? null : window };
}

function phi3(facts: Facts): Record<string, unknown> {
  const original = facts.number('rope.scaling.original_context_length');
  return {
    ...slidingWindow(facts),
    ...(original !== undefined && { original_max_position_embeddings: original }),
  };
}

/**
 * GGUF doesn't say how Gemma scales its scores. As in llama.cpp, the 27B models, told by their layers, go by the width
 * over the heads, and all others by the size of a head.
 */
function gemma({ layers, heads, hiddenSize, headDim, number }: Facts, layersOf27B: number): Record<string, unknown> {
  return {
    hidden_activation: 'gelu_pytorch_tanh',
    query_pre_attn_scalar: layers === layersOf27B ? hiddenSize / heads : headDim,
    final_logit_softcapping: number('final_logit_softcapping') ?? null,
  };
}
