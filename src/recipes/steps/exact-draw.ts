/**
 * What a draw is, to the last bit: weights in f64, summed and subtracted one by one in the order of the candidates. It
 * sorts the whole vocabulary (some 100 ms for 150,000 tokens), so `quick-draw.ts` leaves to it only what rounding decides.
 */
import { drawsFromSome, type SamplingOptions } from './sampling-options';

/** The id that `uniform`, from 0 to 1, falls on. Where a logit is NaN there is no draw, and it is the last candidate. */
export function drawExactly(logits: Float32Array, options: SamplingOptions, uniform: number): number {
  const weights = weigh(logits, options.temperature);
  const ids = listCandidates(weights, options);
  let left = uniform * ids.reduce((sum, id) => sum + weights[id]!, 0);
  for (const id of ids) {
    left -= weights[id]!;
    if (left < 0) return id;
  }
  return ids.at(-1)!;
}

/** exp of each scaled logit, relative to the largest: probabilities but for their sum. */
function weigh(logits: Float32Array, temperature: number): Float64Array {
  let largest = logits[0]!;
  for (const logit of logits) if (logit > largest) largest = logit;
  return Float64Array.from(logits, (logit) => Math.exp((logit - largest) / temperature));
}

/** Ids in the order of their draw: as they are numbered where all may be drawn, else from the likeliest down. */
function listCandidates(weights: Float64Array, { topP, topK, minP = 0 }: SamplingOptions): number[] {
  const ids = Array.from(weights, (_, id) => id);
  if (!drawsFromSome({ topP, topK, minP })) return ids;
  ids.sort((a, b) => weights[b]! - weights[a]! || a - b);
  const top = topK > 0 ? ids.slice(0, topK) : ids;
  const enough = topP * top.reduce((sum, id) => sum + weights[id]!, 0);
  let sum = 0;
  // The token that crosses topP still counts, so that there is always one.
  const count = top.findIndex((id) => (sum += weights[id]!) >= enough) + 1;
  const nucleus = count > 0 ? top.slice(0, count) : top;
  return minP > 0 ? nucleus.filter((id) => !(weights[id]! < minP)) : nucleus;
}
