/** A symbolic value: its shape and type, and for a leaf the buffer that it stands for. */
import { BYTES_PER_ELEMENT, elementCount, type DType, type QuantizedDType } from '../core/dtypes';
import { BLOCK_SIZE, quantizedLayout } from '../core/quantization';
import type { MemoryBytes } from './types';

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
