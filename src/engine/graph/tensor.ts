/** A symbolic value: its shape and type, and for a leaf the buffer that it stands for. */
import { BYTES_PER_ELEMENT, elementCount, type DType, type QuantizedDType } from '../../core/dtypes';
import { BLOCK_SIZE, quantizedLayout } from '../../core/quantization';
import type { MemoryBytes } from '../types';

export interface TensorType {
  readonly shape: readonly number[];
  readonly dtype: DType;
}

/** A value of the graph: a leaf backed by a buffer that outlives the program, or the output of a node. */
export interface Tensor extends TensorType {
  readonly id: number;
  readonly leaf?: Leaf;
}

/** A persistent buffer, identified by name across all graphs of a session. */
export interface Leaf {
  readonly name: string;
  readonly kind: keyof MemoryBytes;
  readonly trainable: boolean;
}

/** Whole rows of a tensor, as a kernel binds them: a range of its buffer. */
export interface TensorView extends TensorType {
  readonly tensor: Tensor;
  /** Bytes from the start of the tensor. */
  readonly offset: number;
}

/** What a kernel binds. */
export type Operand = Tensor | TensorView;

/** Storage binding offsets are multiples of WebGPU's default `minStorageBufferOffsetAlignment`. */
export const STORAGE_ALIGNMENT = 256;

/** Rows `first` to `first + count` of a tensor of a plain type. They must start on a multiple of `STORAGE_ALIGNMENT`. */
export function rowsOf(tensor: Tensor, first: number, count: number): Operand {
  const [rows, ...rest] = tensor.shape;
  if (first === 0 && count === rows) return tensor;
  const { dtype } = tensor;
  if (isQuantized(dtype)) throw new Error(`rows of a ${dtype} tensor have their scales elsewhere`);
  const offset = first * BYTES_PER_ELEMENT[dtype] * elementCount(rest);
  if (offset % STORAGE_ALIGNMENT !== 0) throw new Error(`a binding can't start ${offset} bytes into its tensor`);
  return { tensor, offset, dtype, shape: [count, ...rest] };
}

export function isQuantized(dtype: DType): dtype is QuantizedDType {
  return dtype in BLOCK_SIZE;
}

/** Bytes of the buffer behind a tensor: whole vectors of four words, which kernels read at once. */
export function byteSize({ dtype, shape }: TensorType): number {
  const bytes = isQuantized(dtype)
    ? 4 * quantizedLayout(dtype, shape).words
    : BYTES_PER_ELEMENT[dtype] * elementCount(shape);
  return Math.max(16, Math.ceil(bytes / 16) * 16);
}
