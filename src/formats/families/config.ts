/** What the configs of all families have in common. */
import { GraftError } from '../../core/errors';
import { quote } from '../../core/format';
import type { DecoderSpec } from '../../core/spec';
import type { JsonObject } from '../json';

/** Sizes beyond these are typing errors or attacks: each is several times that of the largest open model. */
export const LIMITS = {
  vocab_size: 4_194_304,
  hidden_size: 131_072,
  intermediate_size: 524_288,
  num_hidden_layers: 1024,
  num_attention_heads: 1024,
  num_key_value_heads: 1024,
  head_dim: 1024,
  max_position_embeddings: 16_777_216,
} as const;

/**
 * What Transformers takes for keys that are left out. The sizes that make the model have no default in most families,
 * so that a config that lost one is refused.
 */
export type SizeDefaults = Partial<Record<keyof typeof LIMITS, number>> & {
  readonly max_position_embeddings: number;
  readonly rms_norm_eps: number;
  readonly tie_word_embeddings: boolean;
};

type Sizes = Pick<
  DecoderSpec,
  | 'family'
  | 'vocabSize'
  | 'hiddenSize'
  | 'intermediateSize'
  | 'numLayers'
  | 'numHeads'
  | 'numKeyValueHeads'
  | 'headDim'
  | 'rmsNormEps'
  | 'maxPositions'
  | 'tieWordEmbeddings'
>;

/** The fields that every family has. Throws `bad-config` for sizes that are missing, absurd, or don't fit together. */
export function readSizes(config: JsonObject, family: string, defaults: SizeDefaults): Sizes {
  const optional = (key: keyof typeof LIMITS) => config.size(key, LIMITS[key]) ?? defaults[key];
  const size = (key: keyof typeof LIMITS) => config.required(key, optional(key));
  const hiddenSize = size('hidden_size');
  const numHeads = size('num_attention_heads');
  const heads = 'num_key_value_heads';
  const numKeyValueHeads = (config.isNull(heads) ? undefined : optional(heads)) ?? numHeads;
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
  return {
    family,
    vocabSize: size('vocab_size'),
    hiddenSize,
    intermediateSize: size('intermediate_size'),
    numLayers: size('num_hidden_layers'),
    numHeads,
    numKeyValueHeads,
    headDim,
    rmsNormEps: config.positive('rms_norm_eps') ?? defaults.rms_norm_eps,
    maxPositions: size('max_position_embeddings'),
    tieWordEmbeddings: config.boolean('tie_word_embeddings') ?? defaults.tie_word_embeddings,
  };
}

const ACTIVATIONS: Readonly<Record<string, NonNullable<DecoderSpec['activation']>>> = {
  silu: 'silu',
  swish: 'silu',
  gelu_pytorch_tanh: 'gelu_tanh',
  gelu_new: 'gelu_tanh',
};

/** The activation named by `key`. Throws `unsupported` for one that Graft doesn't compute. */
export function readActivation(
  config: JsonObject,
  key: 'hidden_act' | 'hidden_activation',
  standard: 'silu' | 'gelu_pytorch_tanh',
): NonNullable<DecoderSpec['activation']> {
  const name = config.string(key) ?? standard;
  const known = Object.hasOwn(ACTIVATIONS, name) ? ACTIVATIONS[name] : undefined;
  if (known) return known;
  throw new GraftError(
    'unsupported',
    `${config.where}: ${key} is ${quote(name)}; Graft computes ${Object.keys(ACTIVATIONS).join(', ')} only.`,
  );
}
