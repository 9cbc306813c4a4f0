import type { Values } from './values';

/** a + scale · b. */
export function add(a: Values, b: Values, scale: number): Float64Array {
  return Float64Array.from(a, (value, i) => value + scale * b[i]!);
}

export function addBackward(dy: Values, scale: number): { da: Float64Array; db: Float64Array } {
  return { da: Float64Array.from(dy), db: Float64Array.from(dy, (value) => scale * value) };
}

/** x[N, C] + bias[C]. */
export function addBias(x: Values, bias: Values): Float64Array {
  return Float64Array.from(x, (value, i) => value + bias[i % bias.length]!);
}

/** Every row adds its gradient to the bias's. */
export function addBiasBackward(dy: Values, C: number): { dx: Float64Array; dbias: Float64Array } {
  const dbias = new Float64Array(C);
  for (let i = 0; i < dy.length; i++) dbias[i % C]! += dy[i]!;
  return { dx: Float64Array.from(dy), dbias };
}
