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
