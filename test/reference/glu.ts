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

/** GELU's tanh form and its derivative (Hendrycks and Gimpel 2016, arXiv:1606.08415). */
function gelu(x: number): { value: number; slope: number } {
  const root = Math.sqrt(2 / Math.PI);
  const tanh = Math.tanh(root * (x + 0.044715 * x ** 3));
  return {
    value: 0.5 * x * (1 + tanh),
    slope: 0.5 * (1 + tanh) + 0.5 * x * (1 - tanh ** 2) * root * (1 + 3 * 0.044715 * x ** 2),
  };
}

/** y = gelu(gate) · up. */
export function geglu(gate: Values, up: Values): Float64Array {
  return Float64Array.from(gate, (g, i) => gelu(g).value * up[i]!);
}

export function gegluBackward(gate: Values, up: Values, dy: Values): { dgate: Float64Array; dup: Float64Array } {
  return {
    dgate: Float64Array.from(gate, (g, i) => dy[i]! * up[i]! * gelu(g).slope),
    dup: Float64Array.from(gate, (g, i) => dy[i]! * gelu(g).value),
  };
}
