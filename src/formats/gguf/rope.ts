/** Llama 3's rotary scaling and the table of divisors that llama.cpp keeps of it (`rope_freqs`). */
import { GraftError } from '../../core/errors';
import { shortest } from './numbers';

interface Limits {
  readonly low_freq_factor: number;
  readonly high_freq_factor: number;
  readonly original_max_position_embeddings: number;
}

/** What every Llama 3.1 to 3.3 has. */
const USUAL: Limits = { low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 };

/** Divisors are f32. */
const TOLERANCE = 1e-5;

type Llama3Scaling = { readonly rope_type: 'llama3'; readonly factor: number } & Limits;

/**
 * The scaling that gives these divisors, one a pair of dimensions. Wave lengths between the two limits have a divisor of
 * 1 / ((1 - s) / factor + s), where s = (original / length - low) / (high - low).
 *
 * Only ratios of the three numbers show, and short tables leave some of them open: then every candidate that gives the
 * table computes the same.
 * @throws `unsupported` where none does.
 */
export function llama3Scaling(
  where: string,
  divisors: readonly number[],
  headDim: number,
  theta: number,
): Llama3Scaling {
  const unknown = new GraftError(
    'unsupported',
    `${where} scales its rotary embedding (rope_freqs) in a way that Graft doesn't know.`,
  );
  if (2 * divisors.length !== headDim) throw unknown;
  const factor = shortest(divisors.reduce((most, divisor) => Math.max(most, divisor), 1));
  const lengths = waveLengths(headDim, theta);
  const between: Between[] = divisors.flatMap((divisor, i) => {
    const s = (1 / divisor - 1 / factor) / (1 - 1 / factor);
    return s > 1e-4 && s < 1 - 1e-4 ? [{ s, length: lengths[i]! }] : [];
  });
  const limits = [USUAL, ...fromOne(between[0]), ...fromTwo(between[0], between.at(-1)), ...POWERS];
  const found = limits
    .map((limit): Llama3Scaling => ({ rope_type: 'llama3', factor, ...limit }))
    .find((scaling) => matches(scaling, divisors, headDim, theta));
  if (found) return found;
  throw unknown;
}

/** A wave length between the limits, and its s. */
interface Between {
  readonly s: number;
  readonly length: number;
}

const POWERS: readonly Limits[] = Array.from({ length: 16 }, (_, i) => ({
  ...USUAL,
  original_max_position_embeddings: 2 ** (i + 5),
}));

/** With the usual factors, one s tells the original length. */
function fromOne(point: Between | undefined): Limits[] {
  if (!point) return [];
  const { low_freq_factor: low, high_freq_factor: high } = USUAL;
  return [{ ...USUAL, original_max_position_embeddings: Math.round(point.length * (low + point.s * (high - low))) }];
}

/** s is linear in 1 / length, so two of them tell both ratios. */
function fromTwo(a: Between | undefined, b: Between | undefined): Limits[] {
  if (!a || !b || a === b) return [];
  const slope = (a.s - b.s) / (1 / a.length - 1 / b.length);
  const high = 1 - 1 / (a.s - slope / a.length);
  return [
    {
      low_freq_factor: 1,
      high_freq_factor: Math.round(high * 1e3) / 1e3,
      original_max_position_embeddings: Math.round(slope * (high - 1)),
    },
  ];
}

function matches(scaling: Llama3Scaling, divisors: readonly number[], headDim: number, theta: number): boolean {
  const expected = llama3Divisors(scaling, headDim, theta);
  return expected.every((divisor, i) => Math.abs(divisors[i]! - divisor) <= TOLERANCE * divisor);
}

/** The divisors that this scaling gives, one a pair of dimensions. */
export function llama3Divisors(
  scaling: Limits & { readonly factor: number },
  headDim: number,
  theta: number,
): number[] {
  const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: original } = scaling;
  return waveLengths(headDim, theta).map((length) => {
    const s = Math.min(1, Math.max(0, (original / length - low) / (high - low)));
    return 1 / ((1 - s) / factor + s);
  });
}

function waveLengths(headDim: number, theta: number): number[] {
  return Array.from({ length: headDim / 2 }, (_, i) => 2 * Math.PI * theta ** ((2 * i) / headDim));
}
