import type { Values } from './values';

function reciprocalRms(x: Values, row: number, C: number, eps: number): number {
  let squares = 0;
  for (let c = 0; c < C; c++) squares += x[row * C + c]! ** 2;
  return 1 / Math.sqrt(squares / C + eps);
}

/** y = x · r · (weight + offset) with r = 1 / sqrt(mean(x²) + eps), as many values at a time as the weight has. */
export function rmsNorm(x: Values, weight: Values, eps: number, offset = 0): Float64Array {
  const C = weight.length;
  const y = new Float64Array(x.length);
  for (let row = 0; row < x.length / C; row++) {
    const r = reciprocalRms(x, row, C, eps);
    for (let c = 0; c < C; c++) y[row * C + c] = x[row * C + c]! * r * (weight[c]! + offset);
  }
  return y;
}

/** With g = dy · (weight + offset) and dr/dx = −r³ · x / C: dx = r · g − r³ · x / C · Σ g · x. */
export function rmsNormBackward(
  x: Values,
  weight: Values,
  eps: number,
  dy: Values,
  offset = 0,
): { dx: Float64Array; dweight: Float64Array } {
  const C = weight.length;
  const dx = new Float64Array(x.length);
  const dweight = new Float64Array(C);
  for (let row = 0; row < x.length / C; row++) {
    const r = reciprocalRms(x, row, C, eps);
    let gx = 0;
    for (let c = 0; c < C; c++) gx += dy[row * C + c]! * (weight[c]! + offset) * x[row * C + c]!;
    for (let c = 0; c < C; c++) {
      const i = row * C + c;
      dx[i] = r * dy[i]! * (weight[c]! + offset) - (r ** 3 * x[i]! * gx) / C;
      dweight[c]! += dy[i]! * x[i]! * r;
    }
  }
  return { dx, dweight };
}
