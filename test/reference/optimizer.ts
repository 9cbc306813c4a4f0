import type { Values } from './values';

/** L2 norm of all gradients together. */
export function globalNorm(gradients: readonly Values[]): number {
  let squares = 0;
  for (const gradient of gradients) {
    for (let i = 0; i < gradient.length; i++) squares += gradient[i]! ** 2;
  }
  return Math.sqrt(squares);
}

export interface AdamWStep {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** 0: no clipping. */
  readonly maxNorm: number;
  /** Counts from 1. */
  readonly step: number;
}

/** One step of torch.optim.AdamW after clip_grad_norm_, from the global norm of the gradients. */
export function adamw(
  gradient: Values,
  norm: number,
  parameter: Values,
  expAvg: Values,
  expAvgSq: Values,
  { learningRate, beta1, beta2, epsilon, weightDecay, maxNorm, step }: AdamWStep,
): { parameter: Float64Array; expAvg: Float64Array; expAvgSq: Float64Array } {
  const clip = maxNorm > 0 ? Math.min(1, maxNorm / (norm + 1e-6)) : 1;
  const m = Float64Array.from(expAvg, (value, i) => beta1 * value + (1 - beta1) * clip * gradient[i]!);
  const v = Float64Array.from(expAvgSq, (value, i) => beta2 * value + (1 - beta2) * (clip * gradient[i]!) ** 2);
  const updated = Float64Array.from(parameter, (value, i) => {
    const mHat = m[i]! / (1 - beta1 ** step);
    const vHat = v[i]! / (1 - beta2 ** step);
    return value * (1 - learningRate * weightDecay) - (learningRate * mHat) / (Math.sqrt(vHat) + epsilon);
  });
  return { parameter: updated, expAvg: m, expAvgSq: v };
}

/** One block of moments in 8 bits: codes into a map, and the scale. */
export interface CodedBlock {
  readonly codes: Uint8Array;
  readonly absmax: number;
}

/** The index of the value of an ascending map that is nearest to x, found by looking at all of them. */
function nearestCode(map: Values, x: number): number {
  let best = 0;
  for (let i = 1; i < map.length; i++) {
    if (Math.abs(map[i]! - x) < Math.abs(map[best]! - x)) best = i;
  }
  return best;
}

/**
 * bitsandbytes' AdamW8bit on one block: both moments expanded, updated, applied, and quantised by their largest
 * magnitudes. A first moment keeps its sign. Weight decay comes after the update there.
 */
export function adamw8bit(
  gradient: Values,
  norm: number,
  parameter: Values,
  first: CodedBlock,
  second: CodedBlock,
  maps: { signed: Values; unsigned: Values },
  options: AdamWStep,
): { parameter: Float64Array; first: CodedBlock; second: CodedBlock } {
  const { learningRate, weightDecay } = options;
  const m = Float64Array.from(first.codes, (code) => maps.signed[code]! * first.absmax);
  const v = Float64Array.from(second.codes, (code) => maps.unsigned[code]! * second.absmax);
  const undecayed = adamw(gradient, norm, parameter, m, v, { ...options, weightDecay: 0 });
  const largest = (values: Values) => Array.from(values).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const coded = (values: Values, map: Values): CodedBlock => {
    const absmax = largest(values);
    const codes = Uint8Array.from(values, (value) => nearestCode(map, value / (absmax || 1)));
    return { codes, absmax };
  };
  const quantised = coded(undecayed.expAvg, maps.signed);
  undecayed.expAvg.forEach((value, i) => {
    const code = quantised.codes[i]!;
    if (value < 0 && maps.signed[code]! >= 0) quantised.codes[i] = code - 1;
    if (value > 0 && maps.signed[code]! < 0) quantised.codes[i] = code + 1;
  });
  return {
    parameter: undecayed.parameter.map((value) => value * (1 - learningRate * weightDecay)),
    first: quantised,
    second: coded(undecayed.expAvgSq, maps.unsigned),
  };
}
