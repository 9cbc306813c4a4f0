import type { Values } from './values';

/** x[N, C] in parts of that many rows. */
export function splitRows(x: Values, rows: readonly number[], channels: number): Float64Array[] {
  let start = 0;
  return rows.map((n) => {
    const part = Float64Array.from({ length: n * channels }, (_, i) => x[start + i]!);
    start += n * channels;
    return part;
  });
}

/** The parts one after the other. */
export function concatRows(parts: readonly Values[]): Float64Array {
  return Float64Array.from(parts.flatMap((part) => Array.from(part)));
}

/** Of each sequence of `length` rows of x[B·T, C] their sum, weighted by weights[B·T]: [B, C]. */
export function pool(x: Values, weights: Values, length: number): Float64Array {
  const channels = x.length / weights.length;
  const y = new Float64Array((weights.length / length) * channels);
  for (const [row, weight] of Array.from(weights).entries()) {
    for (let c = 0; c < channels; c++) y[Math.floor(row / length) * channels + c]! += weight * x[row * channels + c]!;
  }
  return y;
}

export function poolBackward(weights: Values, dy: Values, length: number): Float64Array {
  const channels = (dy.length * length) / weights.length;
  return Float64Array.from({ length: weights.length * channels }, (_, i) => {
    const row = Math.floor(i / channels);
    return weights[row]! * dy[Math.floor(row / length) * channels + (i % channels)]!;
  });
}
