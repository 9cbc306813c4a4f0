/** Llama 3's rotary scaling, read back from the table of divisors that llama.cpp keeps of it (`rope_freqs`). */
import { GraftError } from '../../core/errors';
import { shortest } from './numbers';

/** What every Llama 3.1 to 3.3 has. */
const USUAL = { low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 } as const;

/** Divisors are f32. */
const TOLERANCE = 1e-5;

type Llama3Scaling = {
  readonly rope_type: 'llama3';
  readonly factor: number;
  readonly low_freq_factor: number;
  readonly high_freq_factor: number;
  readonly original_max_position_embeddings: number;
};

/**
 * The scaling that gives these divisors, one a pair of dimensions. Wave lengths between the two limits have a divisor of
 * 1 / ((1 - s) / factor + s), where s = (original / length - low) / (high - low).
 * @throws `unsupported` where none does.
 */
export function llama3Scaling(
  where: string,
  divisors: readonly number[],
  headDim: number,
  theta: number,
): Llama3Scaling {
  const factor = shortest(Math.max(...divisors));
  const lengths = Array.from({ length: headDim / 2 }, (_, i) => 2 * Math.PI * theta ** ((2 * i) / headDim));
  const usual: Llama3Scaling = { rope_type: 'llama3', factor, ...USUAL };
  const candidates = [usual, ...solved(divisors, lengths, factor)];
  const found = candidates.find((candidate) => matches(candidate, divisors, lengths));
  if (found) return found;
  throw new GraftError(
    'unsupported',
    `${where} scales its rotary embedding (rope_freqs) in a way that Graft doesn't know.`,
  );
}

/** From two divisors between the limits: s is linear in 1 / length. Only ratios show, so the low factor is set to 1. */
function solved(divisors: readonly number[], lengths: readonly number[], factor: number): Llama3Scaling[] {
  const between = divisors.flatMap((divisor, i) => {
    const s = (1 / divisor - 1 / factor) / (1 - 1 / factor);
    return s > 1e-4 && s < 1 - 1e-4 ? [{ s, frequency: 1 / lengths[i]! }] : [];
  });
  const [a, b] = [between[0], between.at(-1)];
  if (!a || !b || a === b) return [];
  const slope = (a.s - b.s) / (a.frequency - b.frequency);
  const high = 1 - 1 / (a.s - slope * a.frequency);
  const original = Math.round(slope * (high - 1));
  const rounded = Math.round(high * 1e3) / 1e3;
  return [
    {
      rope_type: 'llama3',
      factor,
      low_freq_factor: 1,
      high_freq_factor: rounded,
      original_max_position_embeddings: original,
    },
  ];
}

function matches(scaling: Llama3Scaling, divisors: readonly number[], lengths: readonly number[]): boolean {
  const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: original } = scaling;
  return (
    divisors.length === lengths.length &&
    lengths.every((length, i) => {
      const s = Math.min(1, Math.max(0, (original / length - low) / (high - low)));
      const expected = 1 / ((1 - s) / factor + s);
      return Math.abs(divisors[i]! - expected) <= TOLERANCE * expected;
    })
  );
}
