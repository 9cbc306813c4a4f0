/** Rotary embedding in the forms that configs have had: `rope_theta` beside `rope_scaling`, and `rope_parameters`. */
import { GraftError } from '../../core/errors';
import { quote } from '../../core/format';
import type { DecoderSpec, RopeSpec } from '../../core/spec';
import { isPositiveFloat32, type JsonObject } from '../json';
import { LIMITS } from './config';

const ORIGINAL = 'original_max_position_embeddings';

export interface RopeOptions {
  /** Theta where the config names none. */
  readonly theta?: number;
  /** Whether the family rotates a part of each head where `partial_rotary_factor` says so. */
  readonly partial?: boolean;
  /** The lengths before LongRoPE stretches them, where the config names none. */
  readonly originalMaxPositions?: number;
}

type Heads = Pick<DecoderSpec, 'headDim' | 'maxPositions'>;

/** The rotary embedding of a model whose layers all have the same. */
export function readRope(config: JsonObject, sizes: Heads, options: RopeOptions = {}): RopeSpec {
  const scaling = config.object('rope_scaling');
  const parameters = scaling && scaling.keys().length > 0 ? scaling : config.object('rope_parameters');
  return ropeFrom(config, parameters, sizes, options);
}

/**
 * The rotary embedding that `parameters` describe; what they leave out, the config itself may say. Its kind is called
 * `rope_type` or, in older files, `type`.
 */
export function ropeFrom(
  config: JsonObject,
  parameters: JsonObject | undefined,
  { headDim, maxPositions }: Heads,
  options: RopeOptions = {},
): RopeSpec {
  const base = {
    theta: parameters?.positive('rope_theta') ?? config.positive('rope_theta') ?? options.theta ?? 10_000,
    ...rotaryDim(config, parameters, headDim, options.partial ?? false),
  };
  const type = parameters?.string('rope_type') ?? parameters?.string('type') ?? 'default';
  if (type === 'default' || !parameters) return { type: 'default', ...base };
  const needed = (key: string) => parameters.required(key, parameters.positive(key));
  const positions = (from: JsonObject) => from.size(ORIGINAL, LIMITS.max_position_embeddings);
  const originalMaxPositions =
    positions(config) ?? positions(parameters) ?? options.originalMaxPositions ?? maxPositions;
  switch (type) {
    case 'linear':
      return { type, ...base, factor: needed('factor') };
    case 'llama3': {
      const lowFreqFactor = needed('low_freq_factor');
      const highFreqFactor = needed('high_freq_factor');
      if (lowFreqFactor >= highFreqFactor) {
        throw new GraftError('bad-config', `${parameters.where}: low_freq_factor must be below high_freq_factor.`);
      }
      return { type, ...base, factor: needed('factor'), lowFreqFactor, highFreqFactor, originalMaxPositions };
    }
    case 'longrope': {
      const pairs = (base.rotaryDim ?? headDim) / 2;
      return {
        type,
        ...base,
        shortFactor: factors(parameters, 'short_factor', pairs),
        longFactor: factors(parameters, 'long_factor', pairs),
        originalMaxPositions,
        attentionFactor:
          parameters.positive('attention_factor') ??
          attentionFactor(
            parameters,
            parameters.positive('factor') ?? maxPositions / originalMaxPositions,
            originalMaxPositions,
          ),
      };
    }
    default:
      throw new GraftError(
        'unsupported',
        `${parameters.where}: rope_type is ${quote(type)}; Graft computes default, linear, llama3 and longrope only.`,
      );
  }
}

function rotaryDim(
  config: JsonObject,
  parameters: JsonObject | undefined,
  headDim: number,
  partial: boolean,
): { rotaryDim?: number } {
  const key = 'partial_rotary_factor';
  const factor = parameters?.positive(key) ?? config.positive(key) ?? 1;
  if (factor === 1) return {};
  const rotaryDim = Math.floor(headDim * factor);
  if (!partial) {
    throw new GraftError(
      'unsupported',
      `${config.where}: ${key} is ${factor}; in this family Graft rotates whole heads only.`,
    );
  }
  if (factor > 1 || rotaryDim % 2 !== 0 || rotaryDim === 0) {
    throw new GraftError(
      'bad-config',
      `${config.where}: ${key} ${factor} rotates ${rotaryDim} of ${headDim} channels, but it must be an even number of them.`,
    );
  }
  return { rotaryDim };
}

/** A factor for each pair of channels. */
function factors(parameters: JsonObject, key: string, pairs: number): number[] {
  const list = parameters.required(key, parameters.numbers(key));
  if (list.length !== pairs || !list.every(isPositiveFloat32)) {
    throw new GraftError(
      'bad-config',
      `${parameters.where}: ${key} has ${list.length} factors, but ${pairs} above 0 are needed.`,
    );
  }
  return list;
}

/** LongRoPE's (arXiv:2402.13753): √(1 + ln factor / ln original length). */
function attentionFactor(parameters: JsonObject, factor: number, original: number): number {
  if (factor <= 1) return 1;
  if (original > 1) return Math.sqrt(1 + Math.log(factor) / Math.log(original));
  throw new GraftError(
    'bad-config',
    `${parameters.where}: with an ${ORIGINAL} of ${original} longrope has no attention_factor; give one.`,
  );
}
