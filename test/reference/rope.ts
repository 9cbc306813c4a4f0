import type { Positions } from './attention';
import type { Values } from './values';

export interface RopeSizes {
  readonly length: number;
  readonly heads: number;
  readonly headDim: number;
  /** Channels of a head that are rotated, the first of them; absent, all. */
  readonly rotaryDim?: number;
}

/**
 * Turns the pair (x[i], x[i + R/2]) of the first R channels of each head by the angle whose cosine and sine stand in the tables
 * [positions, R/2] at the row's position: start of its sequence + row in its document. `direction` −1 turns back.
 */
export function rope(
  x: Values,
  { start, first }: Positions,
  cos: Values,
  sin: Values,
  { length, heads, headDim, rotaryDim = headDim }: RopeSizes,
  direction: 1 | -1 = 1,
): Float64Array {
  const half = rotaryDim / 2;
  const y = Float64Array.from(x);
  for (let row = 0; row < x.length / (heads * headDim); row++) {
    const position = start[Math.floor(row / length)]! + (row % length) - (first?.[row] ?? 0);
    for (let head = 0; head < heads; head++) {
      for (let i = 0; i < half; i++) {
        const first = (row * heads + head) * headDim + i;
        const c = cos[position * half + i]!;
        const s = direction * sin[position * half + i]!;
        y[first] = x[first]! * c - x[first + half]! * s;
        y[first + half] = x[first + half]! * c + x[first]! * s;
      }
    }
  }
  return y;
}

/** The transpose of a rotation is the rotation back. */
export function ropeBackward(
  positions: Positions,
  cos: Values,
  sin: Values,
  dy: Values,
  sizes: RopeSizes,
): Float64Array {
  return rope(dy, positions, cos, sin, sizes, -1);
}
