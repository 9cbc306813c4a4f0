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

export type AttentionKernel = (node: Node<AttentionSizes>, capabilities: KernelCapabilities) => Kernel[];

/** Most that one dispatch computes, in flops: a fifth of a second on a slow card. Drivers reset one that is held for two. */
const DISPATCH_FLOPS = 1e10;

/** Least rows of a part: whole tiles of every kernel. */
const PART_ROWS = 64;

/**
 * A kernel whose cost grows with the square of the length, in as many dispatches as it takes. How many there are follows
 * from the sizes alone, and so does the memory that they are planned to need. `workgroups` has the kernel's tiles first.
 */
export function inParts(
  sizes: AttentionSizes,
  products: number,
  [tiles, ...rest]: Kernel['workgroups'],
  kernel: (firstTile: number) => Omit<Kernel, 'workgroups' | 'flops'>,
): Kernel[] {
  const flops = attentionFlops(sizes, products);
  const parts = Math.min(Math.ceil(flops / DISPATCH_FLOPS), Math.ceil(sizes.length / PART_ROWS));
  return Array.from({ length: parts }, (_, part) => {
    const firstTile = Math.floor((part * tiles) / parts);
    const count = Math.floor(((part + 1) * tiles) / parts) - firstTile;
    return { ...kernel(firstTile), workgroups: [count, ...rest], flops: flops / parts };
  });
}

/** Multiply-adds times two of so many products of all rows with the keys that they see; half of all, where none is cached. */
export function attentionFlops({ batch, length, keys, heads, headDim }: AttentionSizes, products: number): number {
  const pairs = length === keys ? (length * (length + 1)) / 2 : length * keys;
  return 2 * products * batch * heads * headDim * pairs;
}
