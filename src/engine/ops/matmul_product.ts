/** A product of matrices as its kernels see it. */
import type { Operand, TensorType } from '../graph/tensor';
import type { DropoutAttrs } from './dropout';
import { matrix } from './shape';

export interface MatmulAttrs {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly alpha: number;
}

/** The operand of a product, 0 for A and 1 for B, that is dropout of what is bound. */
export interface DroppedOperand extends DropoutAttrs {
  readonly operand: 0 | 1;
}

/** A product as kernels see it: C = addend + alpha · op(A) · op(B), of tensors or rows of them. */
export interface Product {
  /** A, B, and the addend where there is one. */
  readonly inputs: readonly Operand[];
  readonly outputs: readonly Operand[];
  readonly attrs: MatmulAttrs & {
    /** C += instead of C =; there is no addend then. */
    readonly accumulate?: boolean;
  };
  /** Added to every row of C, [N]. */
  readonly bias?: Operand;
  /** Dropout of an operand that is f32, drawn as it is loaded, with the leaf of seeds; not for products of few rows (`isMatvec`). */
  readonly dropped?: DroppedOperand & { readonly seed: Operand };
  /** Where rows of A are rows of the batch that may not all be there: the first of them; see `Kernel.rows`. */
  readonly rows?: number;
}

/** Whole tiles of rows of C that one dispatch computes. */
export interface RowBand {
  readonly first: number;
  readonly count: number;
}

export interface Extents {
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

export function extents([a, b]: readonly TensorType[], attrs: MatmulAttrs): Extents {
  const [aRows, aColumns] = matrix('matmul', a!);
  const [bRows, bColumns] = matrix('matmul', b!);
  const [m, k] = attrs.transposeA ? [aColumns, aRows] : [aRows, aColumns];
  const [n, innerB] = attrs.transposeB ? [bRows, bColumns] : [bColumns, bRows];
  if (k !== innerB) throw new Error(`matmul: inner extents ${k} and ${innerB} differ`);
  return { m, n, k };
}
