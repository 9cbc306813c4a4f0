/** The singular value decomposition of a product of two thin matrices, without ever building the product. */

/** [rows, columns], row by row. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly values: Float64Array;
}

export interface LowRank {
  /** [out, rank]: left singular vectors, each times its singular value. */
  readonly b: Matrix;
  /** [rank, in]: right singular vectors. */
  readonly a: Matrix;
}

/**
 * The product `b · a` at another rank, as near to it as that rank allows (Eckart and Young). Both are decomposed by QR, so
 * that a matrix of their inner size is all that singular values are taken of.
 * @param b [out, r] @param a [r, in]
 * @param rank of the result; past `r` the rest is zeros
 */
export function truncateProduct(b: Matrix, a: Matrix, rank: number): LowRank {
  const [left, right] = [decomposeQr(b), decomposeQr(transpose(a))];
  const core = multiply(left.r, transpose(right.r));
  const { u, v } = decomposeSingular(core);
  const [newB, newA] = [multiply(left.q, u), transpose(multiply(right.q, v))];
  return { b: resize(newB, newB.rows, rank), a: resize(newA, rank, newA.columns) };
}

/** `q` [n, m] with columns of length 1 or 0, all at right angles, and `r` [m, m] with `q · r` the matrix. */
function decomposeQr(matrix: Matrix): { q: Matrix; r: Matrix } {
  const { rows, columns } = matrix;
  const q = transpose(matrix).values.slice();
  const r = zeros(columns, columns);
  for (let j = 0; j < columns; j++) {
    const column = q.subarray(j * rows, (j + 1) * rows);
    const before = length(column);
    // Twice is enough (Kahan; Parlett, The Symmetric Eigenvalue Problem, 6.9).
    for (let pass = 0; pass < 2; pass++) {
      for (let i = 0; i < j; i++) {
        const other = q.subarray(i * rows, (i + 1) * rows);
        const along = dot(column, other);
        r.values[i * columns + j]! += along;
        for (let k = 0; k < rows; k++) column[k]! -= along * other[k]!;
      }
    }
    const size = length(column);
    // What is left of a column that depends on the others is rounding.
    const isLeft = size > before * 1e-13;
    r.values[j * columns + j] = isLeft ? size : 0;
    for (let k = 0; k < rows; k++) column[k] = isLeft ? column[k]! / size : 0;
  }
  return { q: transpose({ rows: columns, columns: rows, values: q }), r };
}

const MOST_SWEEPS = 60;
const AT_RIGHT_ANGLES = 1e-15;

/**
 * One-sided Jacobi (Hestenes 1958): columns are turned in pairs until all are at right angles.
 * @param matrix [n, n]
 * @returns `u` with columns times their singular values, from the largest down, and `v`, with `u · vᵀ` the matrix
 */
function decomposeSingular(matrix: Matrix): { u: Matrix; v: Matrix } {
  const size = matrix.columns;
  const columns = rowsOf(transpose(matrix));
  const turned = rowsOf(identity(size));
  for (let sweep = 0, turns = 1; turns > 0 && sweep < MOST_SWEEPS; sweep++) {
    turns = 0;
    for (let i = 0; i < size; i++) {
      for (let j = i + 1; j < size; j++) turns += Number(turnPair(columns, turned, i, j));
    }
  }
  const order = columns.map((column, i) => ({ i, size: length(column) })).sort((x, y) => y.size - x.size);
  const pick = (from: readonly Float64Array[]) => transpose(stack(order.map(({ i }) => from[i]!)));
  return { u: pick(columns), v: pick(turned) };
}

/** Turns two columns, and those of what was turned so far, to right angles. False where they are. */
function turnPair(columns: readonly Float64Array[], turned: readonly Float64Array[], i: number, j: number): boolean {
  const [x, y] = [columns[i]!, columns[j]!];
  const [xx, yy, xy] = [dot(x, x), dot(y, y), dot(x, y)];
  if (Math.abs(xy) <= AT_RIGHT_ANGLES * Math.sqrt(xx * yy)) return false;
  const zeta = (yy - xx) / (2 * xy);
  const t = (zeta >= 0 ? 1 : -1) / (Math.abs(zeta) + Math.hypot(1, zeta));
  const cos = 1 / Math.hypot(1, t);
  for (const [p, q] of [
    [x, y],
    [turned[i]!, turned[j]!],
  ] as const) {
    for (let k = 0; k < p.length; k++) {
      const [a, b] = [p[k]!, q[k]!];
      p[k] = cos * (a - t * b);
      q[k] = cos * (t * a + b);
    }
  }
  return true;
}

function multiply(a: Matrix, b: Matrix): Matrix {
  const product = zeros(a.rows, b.columns);
  for (let i = 0; i < a.rows; i++) {
    const row = product.values.subarray(i * b.columns, (i + 1) * b.columns);
    for (let k = 0; k < a.columns; k++) {
      const factor = a.values[i * a.columns + k]!;
      for (let j = 0; j < b.columns; j++) row[j]! += factor * b.values[k * b.columns + j]!;
    }
  }
  return product;
}

function transpose({ rows, columns, values }: Matrix): Matrix {
  const turned = zeros(columns, rows);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) turned.values[j * rows + i] = values[i * columns + j]!;
  }
  return turned;
}

/** The upper left corner, with zeros where there is nothing. */
function resize(matrix: Matrix, rows: number, columns: number): Matrix {
  const resized = zeros(rows, columns);
  const width = Math.min(columns, matrix.columns);
  for (let i = 0; i < Math.min(rows, matrix.rows); i++) {
    const row = matrix.values.subarray(i * matrix.columns, i * matrix.columns + width);
    resized.values.set(row, i * columns);
  }
  return resized;
}

function rowsOf({ rows, columns, values }: Matrix): Float64Array[] {
  return Array.from({ length: rows }, (_, i) => values.slice(i * columns, (i + 1) * columns));
}

function stack(rows: readonly Float64Array[]): Matrix {
  const stacked = zeros(rows.length, rows[0]?.length ?? 0);
  rows.forEach((row, i) => stacked.values.set(row, i * stacked.columns));
  return stacked;
}

function identity(size: number): Matrix {
  const matrix = zeros(size, size);
  for (let i = 0; i < size; i++) matrix.values[i * size + i] = 1;
  return matrix;
}

function zeros(rows: number, columns: number): Matrix {
  return { rows, columns, values: new Float64Array(rows * columns) };
}

function dot(x: Float64Array, y: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i]! * y[i]!;
  return sum;
}

function length(x: Float64Array): number {
  return Math.sqrt(dot(x, x));
}
