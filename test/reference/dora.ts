import type { Values } from './values';

export interface DoraSizes {
  readonly out: number;
  readonly in: number;
  readonly rank: number;
  readonly scaling: number;
}

/** L2 norm of each row of W[out, in] + scaling · B[out, r] · A[r, in]. */
export function doraNorm(weight: Values, a: Values, b: Values, sizes: DoraSizes): Float64Array {
  const norm = new Float64Array(sizes.out);
  for (let row = 0; row < sizes.out; row++) {
    let squares = 0;
    for (let column = 0; column < sizes.in; column++) {
      let delta = 0;
      for (let i = 0; i < sizes.rank; i++) delta += b[row * sizes.rank + i]! * a[i * sizes.in + column]!;
      squares += (weight[row * sizes.in + column]! + sizes.scaling * delta) ** 2;
    }
    norm[row] = Math.sqrt(squares);
  }
  return norm;
}

/** x[N, C] · magnitude[C] / norm[C]. */
export function doraScale(x: Values, magnitude: Values, norm: Values): Float64Array {
  const C = norm.length;
  return Float64Array.from(x, (value, i) => (value * magnitude[i % C]!) / norm[i % C]!);
}

/** The norm is a constant here (DoRA, section 4.3). */
export function doraScaleBackward(
  x: Values,
  magnitude: Values,
  norm: Values,
  dy: Values,
): { dx: Float64Array; dmagnitude: Float64Array } {
  const C = norm.length;
  const dmagnitude = new Float64Array(C);
  for (let i = 0; i < x.length; i++) dmagnitude[i % C]! += (dy[i]! * x[i]!) / norm[i % C]!;
  return { dx: doraScale(dy, magnitude, norm), dmagnitude };
}
