/** What attention's kernels go by. */
import type { Node } from '../graph';
import type { Kernel, KernelCapabilities } from '../kernel';

export interface AttentionSizes {
  readonly batch: number;
  /** Query rows a sequence. */
  readonly length: number;
  /** Key rows a sequence: `length` in training, the cache's capacity when decoding. */
  readonly keys: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

export type AttentionKernel = (node: Node<AttentionSizes>, capabilities: KernelCapabilities) => Kernel;

/** Multiply-adds times two of so many products of all rows with the keys that they see; half of all, where none is cached. */
export function attentionFlops({ batch, length, keys, heads, headDim }: AttentionSizes, products: number): number {
  const pairs = length === keys ? (length * (length + 1)) / 2 : length * keys;
  return 2 * products * batch * heads * headDim * pairs;
}
