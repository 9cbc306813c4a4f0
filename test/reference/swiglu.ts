import type { Values } from './values';

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** y = silu(gate) · up, silu(x) = x · σ(x). */
export function swiglu(gate: Values, up: Values): Float64Array {
  return Float64Array.from(gate, (g, i) => g * sigmoid(g) * up[i]!);
}

/** silu′(x) = σ(x) + x · σ(x) · (1 − σ(x)). */
export function swigluBackward(gate: Values, up: Values, dy: Values): { dgate: Float64Array; dup: Float64Array } {
  const dgate = new Float64Array(gate.length);
  const dup = new Float64Array(gate.length);
  for (let i = 0; i < gate.length; i++) {
    const g = gate[i]!;
    const s = sigmoid(g);
    dgate[i] = dy[i]! * up[i]! * (s + g * s * (1 - s));
    dup[i] = dy[i]! * g * s;
  }
  return { dgate, dup };
}
