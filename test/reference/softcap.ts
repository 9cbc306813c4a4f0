import type { Values } from './values';

/** cap · tanh(x / cap); x itself where there is no cap. */
export function softcap(x: Values, cap: number | undefined): Float64Array {
  return Float64Array.from(x, (value) => (cap === undefined ? value : cap * Math.tanh(value / cap)));
}

/** dx = dy · (1 − tanh²(x / cap)) */
export function softcapBackward(x: Values, cap: number | undefined, dy: Values): Float64Array {
  if (cap === undefined) return Float64Array.from(dy);
  return Float64Array.from(dy, (gradient, i) => gradient * (1 - Math.tanh(x[i]! / cap) ** 2));
}
