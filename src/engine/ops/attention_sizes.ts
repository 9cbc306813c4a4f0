/** What attention's kernels go by. */
import type { Node, Tensor } from '../graph/graph';
import { f32, u32, type Kernel, type KernelCapabilities, type Param } from '../graph/kernel';
import { dispatchesFor, dispatchFlops } from './cutting';
import { documents } from './positions';
import { capModules, capParam, expectCap } from './softcap';
import { shader } from '../graph/shaders';

export interface AttentionSizes {
  readonly batch: number;
  /** Query rows a sequence. */
  readonly length: number;
  /** Key rows a sequence: `length` in training, the cache's capacity when decoding. */
  readonly keys: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** What products of queries and keys are multiplied by; 1/√headDim unless given. */
  readonly scale?: number | undefined;
  /** Tokens that a query sees, itself and those just before it (Transformers' `sliding_window`); all unless given. */
  readonly window?: number | undefined;
  /** Scores are capped at this, softly: cap · tanh(score / cap), before the softmax; not at all unless given. */
  readonly softcap?: number | undefined;
}

export type AttentionKernel = (node: Node<AttentionSizes>, capabilities: KernelCapabilities) => Kernel[];

const windowModule = shader('documents/window');

/** The window where there is none. */
const EVERYTHING = 2 ** 32 - 1;

/** Rows of a tile of workgroup memory, which workgroups are counted by, whichever kernel runs. */
export const TILE_ROWS = 32;

/** A dispatch of the most work to one of average: in the last of a causal sequence rows see twice as many keys. */
const MOST_TO_MEAN = 2;

/** Least rows of a part: whole tiles of every kernel. */
const PART_ROWS = 64;

/** Sizes that no kernel computes are a programming error. */
export function expectSizes({ headDim, window, softcap }: AttentionSizes): void {
  if (headDim % 4 !== 0) throw new Error(`attention: head size ${headDim} is not a multiple of 4`);
  if (window !== undefined && !(Number.isInteger(window) && window > 0)) {
    throw new Error(`attention: a window of ${window} tokens`);
  }
  expectCap('attention', softcap);
}

/** The last of every kernel's Params: `scale`, `window` and `softcap`. */
export function scoreParams({ headDim, scale, window, softcap }: AttentionSizes): Param[] {
  return [f32(scale ?? 1 / Math.sqrt(headDim)), u32(Math.min(window ?? EVERYTHING, EVERYTHING)), capParam(softcap)];
}

/** The part of a kernel that tells what rows see, `first_key(row, position)`, and what becomes of their scores. */
export function scoring(
  { softcap }: AttentionSizes,
  first: Tensor | undefined,
  bindings: Kernel['bindings'],
): Required<Pick<Kernel, 'modules' | 'bindings'>> {
  const { modules, ...rest } = documents(first, bindings);
  return { ...rest, modules: [...modules, windowModule, ...capModules(softcap, 4)] };
}

/**
 * A kernel whose cost grows with the square of the length, in as many dispatches as it takes; `heads` are those that its
 * sums belong to. `workgroups` has the kernel's tiles first.
 */
export function inDispatches(
  sizes: AttentionSizes,
  { rates }: KernelCapabilities,
  products: number,
  heads: number,
  [tiles, ...rest]: Kernel['workgroups'],
  kernel: (firstTile: number) => Omit<Kernel, 'workgroups' | 'flops'>,
): Kernel[] {
  const flops = attentionFlops(sizes, products);
  const workgroups = Math.ceil(sizes.length / TILE_ROWS) * heads * sizes.batch;
  const most = dispatchFlops(rates?.attention) / MOST_TO_MEAN;
  const parts = dispatchesFor({ flops, workgroups, pieces: Math.ceil(sizes.length / PART_ROWS) }, most);
  return Array.from({ length: parts }, (_, part) => {
    const firstTile = Math.floor((part * tiles) / parts);
    const count = Math.floor(((part + 1) * tiles) / parts) - firstTile;
    return { ...kernel(firstTile), workgroups: [count, ...rest], flops: flops / parts };
  });
}

/** Multiply-adds times two of so many products of all rows with the keys that they see; half of all, where none is cached. */
export function attentionFlops(sizes: AttentionSizes, products: number): number {
  const { batch, length, keys, heads, headDim, window = keys } = sizes;
  const seen = Math.min(window, keys);
  // Without a cache the first rows see fewer keys than their window holds.
  const missing = length === keys ? (seen * (seen - 1)) / 2 : 0;
  return 2 * products * batch * heads * headDim * (length * seen - missing);
}
