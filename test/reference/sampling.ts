/** Sampling as plainly as it can be written: an object for each token of the vocabulary, sorted. Draws are held to it. */
import type { Random } from '../../src/core/rng';

export interface PlainSamplingOptions {
  /** 0 takes the likeliest token each time. */
  readonly temperature: number;
  /** Draw from the likeliest tokens that make up this much probability; 1 draws from all. */
  readonly topP: number;
  /** Draw from this many likeliest tokens; 0 draws from all. */
  readonly topK: number;
}

/** One token id. The order is Transformers': temperature, then top-k, then top-p. */
export function sample(logits: Float32Array, options: PlainSamplingOptions, random: Random): number {
  if (options.temperature === 0) return argmax(logits);
  const candidates = likeliest(logits, options);
  let left = random.uniform() * candidates.reduce((sum, { weight }) => sum + weight, 0);
  for (const { id, weight } of candidates) {
    left -= weight;
    if (left < 0) return id;
  }
  return candidates.at(-1)!.id;
}

/** The first of the largest. */
function argmax(logits: Float32Array): number {
  let best = 0;
  for (let id = 1; id < logits.length; id++) if (logits[id]! > logits[best]!) best = id;
  return best;
}

interface Candidate {
  readonly id: number;
  /** exp of the scaled logit, relative to the largest: a probability but for its sum. */
  readonly weight: number;
}

function likeliest(logits: Float32Array, { temperature, topP, topK }: PlainSamplingOptions): Candidate[] {
  const largest = logits[argmax(logits)]!;
  const all = Array.from(logits, (logit, id): Candidate => ({ id, weight: Math.exp((logit - largest) / temperature) }));
  if (topP >= 1 && topK === 0) return all;
  all.sort((a, b) => b.weight - a.weight || a.id - b.id);
  const top = topK > 0 ? all.slice(0, topK) : all;
  const enough = topP * top.reduce((sum, { weight }) => sum + weight, 0);
  let sum = 0;
  // The token that crosses topP still counts, so that there is always one.
  const count = top.findIndex(({ weight }) => (sum += weight) >= enough) + 1;
  return count > 0 ? top.slice(0, count) : top;
}
