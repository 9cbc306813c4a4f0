import { Random } from '../../src/core/rng';
import type { Values } from './values';

/**
 * Inverted dropout: element i is kept and divided by 1 − p where the i-th draw of (seed, stream) is p or more. The draws
 * are the project's own generator on the CPU; the kernel has its own copy of the hash.
 */
export function dropout(x: Values, seed: number, stream: number, probability: number): Float64Array {
  const random = new Random(seed, stream);
  return Float64Array.from(x, (value) => (random.uniform() >= probability ? value / (1 - probability) : 0));
}
