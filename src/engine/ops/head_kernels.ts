/** The kernels of the head and its loss, chunk by chunk of labelled rows. */
import { elementCount } from '../../core/dtypes';
import { grid, gridFor, rowAxisOf, u32, type Kernel, type KernelCapabilities } from '../graph/kernel';
import { rowsOf, type Operand, type Tensor } from '../graph/tensor';
import { shader } from '../graph/shaders';
import { slicesOf, SLICE, type ChunkScratch, type Tile } from './head_tiles';
import { matmulKernels } from './matmul';
import { reduceModule } from './modules';
import { capModules, capParam } from './softcap';

const targetsModule = shader('head/targets');
const gatherShader = shader('rows/gather');
const scatterShader = shader('rows/scatter');
const slicesShader = shader('head/slices');
const rowsShader = shader('head/rows');
const gradientShader = shader('head/gradient');
const sumShader = shader('sums/sum');
const zeroShader = shader('pointwise/zero');

/** The inputs of the head's node by name, and its outputs. */
export interface HeadWork {
  readonly hidden: Tensor;
  readonly labels: Tensor;
  readonly rows: Tensor;
  /** Of nodes with gradients. */
  readonly dLoss: Tensor | undefined;
  readonly softcap: number | undefined;
  readonly tiles: readonly Tile[];
  readonly loss: Tensor;
  readonly dHidden: Tensor | undefined;
  readonly tokenLoss: Tensor;
  readonly scratch: ChunkScratch;
}

/** A chunk of labelled rows: the first of them, and how many. */
interface Chunk extends HeadWork {
  readonly first: number;
  readonly count: number;
  /** Its rows of the scratch. */
  readonly chunkHidden: Operand;
  readonly logits: readonly Operand[];
}

export function headKernels(work: HeadWork, capabilities: KernelCapabilities): Kernel[] {
  const { hidden, dHidden, tokenLoss, loss, tiles, scratch } = work;
  const allRows = hidden.shape[0]!;
  const list: Kernel[] = [zeroKernel(tokenLoss), ...(dHidden ? [zeroKernel(dHidden)] : [])];
  for (let first = 0; first < allRows; first += scratch.rows) {
    const count = Math.min(scratch.rows, allRows - first);
    const logits = tiles.map((_, i) => scratch.logits(i, count));
    const chunk: Chunk = { ...work, first, count, chunkHidden: rowsOf(scratch.hidden, 0, count), logits };
    list.push(...lossKernels(chunk, capabilities));
    if (dHidden) list.push(...gradientKernels(chunk, dHidden, capabilities));
  }
  list.push({
    shader: sumShader,
    modules: [reduceModule(capabilities)],
    params: [u32(allRows)],
    bindings: [tokenLoss, loss],
    workgroups: [1, 1, 1],
    flops: allRows,
  });
  return list;
}

function zeroKernel(y: Tensor): Kernel {
  const count = elementCount(y.shape);
  return { shader: zeroShader, params: [u32(count)], bindings: [y], workgroups: gridFor(count), flops: count };
}

/** Workgroups in the order of a chunk's rows; those of missing rows run too where the chunk is summed as a whole. */
function byRow({ first, count, tiles }: Chunk, workgroups: [number, number, number], summed = false) {
  const whole = summed && tiles.some(({ dWeights }) => dWeights !== undefined);
  return { workgroups, rows: { first, count, axis: whole ? undefined : rowAxisOf(workgroups) } };
}

/** Moves a chunk's rows from among all rows or back. */
function moveKernel(chunk: Chunk, shader: Kernel['shader'], from: Operand, to: Operand, summed = false): Kernel {
  const { first, count, hidden, rows } = chunk;
  const [allRows, channels] = hidden.shape as [number, number];
  return {
    shader,
    params: [count, channels, first, allRows].map(u32),
    bindings: [from, rows, to],
    ...byRow(chunk, gridFor(count * channels), summed),
    flops: count * channels,
  };
}

/** The logits of a chunk, their log-sum-exp, and the token losses. */
function lossKernels(chunk: Chunk, capabilities: KernelCapabilities): Kernel[] {
  const { first, count, hidden, labels, rows, softcap, tiles, tokenLoss, scratch, chunkHidden, logits } = chunk;
  const { lse, labelLogit, statistics } = scratch;
  const allSlices = slicesOf(tiles.map(({ columns }) => columns));
  const ofTiles = tiles.flatMap(({ weights, columns, firstColumn, slices, firstSlice }, i): Kernel[] => [
    ...matmulKernels(
      { inputs: [chunkHidden, weights], outputs: [logits[i]!], attrs: LOGITS, rows: first },
      capabilities,
    ),
    {
      shader: slicesShader,
      modules: [reduceModule(capabilities), ...capModules(softcap, 1), targetsModule],
      sizes: { SLICE },
      params: [...[columns, firstColumn, first, slices, firstSlice, allSlices, count].map(u32), capParam(softcap)],
      bindings: [logits[i], labels, rows, statistics, labelLogit],
      ...byRow(chunk, grid(count * slices)),
      flops: 12 * count * columns,
    },
  ]);
  const ofRows: Kernel = {
    shader: rowsShader,
    modules: [targetsModule],
    params: [count, first, allSlices].map(u32),
    bindings: [statistics, labelLogit, labels, rows, lse, tokenLoss],
    ...byRow(chunk, gridFor(count)),
    flops: 12 * count * allSlices,
  };
  return [moveKernel(chunk, gatherShader, hidden, chunkHidden, true), ...ofTiles, ofRows];
}

/** Turns the logits of a chunk into their gradient, adds what they give to dW, and stores its rows of dHidden. */
function gradientKernels(chunk: Chunk, dHidden: Tensor, capabilities: KernelCapabilities): Kernel[] {
  const { first, count, labels, rows, dLoss, softcap, tiles, scratch, chunkHidden, logits } = chunk;
  const toLogits = tiles.flatMap(({ dWeights, columns, firstColumn, slices }, i): Kernel[] => {
    const toWeights = dWeights && { inputs: [logits[i]!, chunkHidden], outputs: [dWeights], attrs: D_WEIGHTS };
    return [
      {
        shader: gradientShader,
        modules: [...capModules(softcap, 1), targetsModule],
        sizes: { SLICE },
        params: [...[columns, firstColumn, first, slices, count].map(u32), capParam(softcap)],
        bindings: [logits[i], labels, rows, scratch.lse, dLoss],
        ...byRow(chunk, grid(count * slices), true),
        flops: 10 * count * columns,
      },
      ...(toWeights ? matmulKernels({ ...toWeights, rows: first }, capabilities) : []),
    ];
  });
  // Hidden states are not needed any more: their gradient takes their place.
  const toHidden = tiles.flatMap(({ weights }, i) => {
    const attrs = { ...D_HIDDEN, accumulate: i > 0 };
    return matmulKernels({ inputs: [logits[i]!, weights], outputs: [chunkHidden], attrs, rows: first }, capabilities);
  });
  return [...toLogits, ...toHidden, moveKernel(chunk, scatterShader, chunkHidden, dHidden)];
}

/** The three products: hidden · Wᵀ, dLogits · W and dLogitsᵀ · hidden. */
export const LOGITS = { transposeA: false, transposeB: true, alpha: 1 };
export const D_HIDDEN = { transposeA: false, transposeB: false, alpha: 1 };
export const D_WEIGHTS = { transposeA: true, transposeB: false, alpha: 1, accumulate: true };
