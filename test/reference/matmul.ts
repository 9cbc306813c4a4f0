import type { Values } from './values';

export interface MatmulSizes {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** A is stored [K, M]. */
  readonly transposeA?: boolean;
  /** B is stored [N, K], as the weight of a linear is. */
  readonly transposeB?: boolean;
  readonly alpha?: number;
}

/** C[M, N] = addend + alpha · op(A)[M, K] · op(B)[K, N]. */
export function matmul(a: Values, b: Values, sizes: MatmulSizes, addend?: Values): Float64Array {
  const { m, n, k, transposeA = false, transposeB = false, alpha = 1 } = sizes;
  const c = new Float64Array(m * n);
  for (let row = 0; row < m; row++) {
    for (let column = 0; column < n; column++) {
      let sum = 0;
      for (let i = 0; i < k; i++) {
        const left = a[transposeA ? i * m + row : row * k + i]!;
        const right = b[transposeB ? column * k + i : i * n + column]!;
        sum += left * right;
      }
      c[row * n + column] = (addend ? addend[row * n + column]! : 0) + alpha * sum;
    }
  }
  return c;
}

/** Of y = addend + alpha · x[M, K] · w[N, K]ᵀ: each product x · w sends alpha · dy · w to x and alpha · dy · x to w. */
export function linearBackward(
  x: Values,
  w: Values,
  dy: Values,
  { m, n, k, alpha = 1 }: MatmulSizes,
): { dx: Float64Array; dw: Float64Array; daddend: Float64Array } {
  const dx = new Float64Array(m * k);
  const dw = new Float64Array(n * k);
  for (let row = 0; row < m; row++) {
    for (let column = 0; column < n; column++) {
      for (let i = 0; i < k; i++) {
        dx[row * k + i]! += alpha * dy[row * n + column]! * w[column * k + i]!;
        dw[column * k + i]! += alpha * dy[row * n + column]! * x[row * k + i]!;
      }
    }
  }
  return { dx, dw, daddend: Float64Array.from(dy) };
}
