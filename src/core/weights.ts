import { BYTES_PER_ELEMENT, type FloatDType, type WeightDType } from './dtypes';

/** A named tensor with its little-endian bytes: how adapters are read and written. */
export interface WeightTensor {
  readonly name: string;
  readonly dtype: FloatDType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** A tensor of a training state: a weight, or the 8-bit codes of an optimiser's moments. */
export interface StateTensor extends Omit<WeightTensor, 'dtype'> {
  readonly dtype: FloatDType | 'u8';
}

/**
 * Base weights on their way to the engine. A large tensor comes in slices of whole rows, in order and without another
 * tensor between them, cut by `sliceRows`: so no model needs more memory on its way than a few slices.
 */
export interface WeightSlice extends WeightTensor {
  /** The whole tensor's. */
  readonly shape: readonly number[];
  /** The row that `bytes` begins with; absent, `bytes` is the whole tensor. */
  readonly firstRow?: number;
}

/**
 * A leaf of a session exactly as the GPU holds it (codes and scales, `core/quantization.ts`), kept so that the next
 * session need not convert or quantise again. `name` is the leaf's: a table in parts has several.
 */
export interface StoredTensor {
  readonly name: string;
  readonly stored: WeightDType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** Weights as a file has them: what sources give, and what merging takes. */
export type WeightStream = AsyncIterable<WeightSlice>;

/** What a session loads: weights as a file has them, converted and quantised on the way, and leaves that are ready. */
export type LoadStream = AsyncIterable<WeightSlice | StoredTensor>;

/** Slices begin at multiples of this many rows: blocks of quantised types and parts of tables are whole in them. */
const ROW_STEP = 64;
const SLICE_BYTES = 16 * 2 ** 20;

/** Rows of a tensor [rows, …] that travel at once: the same for every source, so that hashes of slices compare. */
export function sliceRows(shape: readonly number[], dtype: FloatDType): number {
  const [rows = 1, ...rest] = shape;
  const stepBytes = ROW_STEP * rest.reduce((product, size) => product * size, BYTES_PER_ELEMENT[dtype]);
  return Math.min(rows, ROW_STEP * Math.max(1, Math.floor(SLICE_BYTES / stepBytes)));
}
