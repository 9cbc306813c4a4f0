/** The rows that the head works on: those that have a target, in chunks. */
import { elementCount } from '../../core/dtypes';
import { gridFor, rowAxisOf, u32, type Kernel } from '../graph/kernel';
import type { Operand, Tensor } from '../graph/tensor';
import { shader } from '../graph/shaders';
import { putKernel, takeKernel, type TokenLogits } from './token_rows';

const gatherShader = shader('rows/gather');
const scatterShader = shader('rows/scatter');
const zeroShader = shader('pointwise/zero');

/** A chunk of those rows: the first of them, and how many. */
export interface RowChunk {
  readonly first: number;
  readonly count: number;
  /** Of all rows, [N, C]. */
  readonly hidden: Tensor;
  /** u32 [N]: the rows that have a target, in order; past their count, the largest u32. */
  readonly rows: Tensor;
  /** Whether its kernels also add to the gradient of a table, which sums over all rows of a chunk, missing ones too. */
  readonly summed: boolean;
}

/** Workgroups in the order of a chunk's rows; those of missing rows run too where what they leave is `summed` over. */
export function byRow({ first, count, summed }: RowChunk, workgroups: Kernel['workgroups'], isSummed = false) {
  return { workgroups, rows: { first, count, axis: isSummed && summed ? undefined : rowAxisOf(workgroups) } };
}

/** Moves a chunk's rows from among all rows or back. */
function moveKernel(chunk: RowChunk, shader: Kernel['shader'], from: Operand, to: Operand, isSummed = false): Kernel {
  const { first, count, hidden, rows } = chunk;
  const [allRows, channels] = hidden.shape as [number, number];
  return {
    shader,
    params: [count, channels, first, allRows].map(u32),
    bindings: [from, rows, to],
    ...byRow(chunk, gridFor(count * channels), isSummed),
    flops: count * channels,
  };
}

/** The hidden states of a chunk, 0 where a row is missing, to `to`. */
export function gatherKernel(chunk: RowChunk, to: Operand): Kernel {
  return moveKernel(chunk, gatherShader, chunk.hidden, to, true);
}

/** The rows of a chunk to their places in y[N, C]. */
export function scatterKernel(chunk: RowChunk, from: Operand, y: Tensor): Kernel {
  return moveKernel(chunk, scatterShader, from, y);
}

/** Puts the logits of tokens that have rows of their own into their columns of a tile of a chunk. */
export function putTokens(chunk: RowChunk, logits: TokenLogits): Kernel {
  const kernel = putKernel(logits);
  return { ...kernel, ...byRow(chunk, kernel.workgroups) };
}

/** Takes their gradient from there. */
export function takeTokens(chunk: RowChunk, logits: TokenLogits): Kernel {
  const kernel = takeKernel(logits);
  return { ...kernel, ...byRow(chunk, kernel.workgroups, true) };
}

export function zeroKernel(y: Tensor): Kernel {
  const count = elementCount(y.shape);
  return { shader: zeroShader, params: [u32(count)], bindings: [y], workgroups: gridFor(count), flops: count };
}
