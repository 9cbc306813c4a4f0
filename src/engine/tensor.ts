/** A symbolic value: its shape and type, and for a leaf the buffer that it stands for. */
import { BYTES_PER_ELEMENT, elementCount, type DType } from '../core/dtypes';
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

/** Bytes of the buffer behind a tensor: whole 32-bit words, at least one. */
export function byteSize(type: TensorType): number {
  return Math.max(4, Math.ceil((elementCount(type.shape) * BYTES_PER_ELEMENT[type.dtype]) / 4) * 4);
}
