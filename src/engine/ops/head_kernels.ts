/** The kernels of the head and its loss, chunk by chunk of labelled rows. */
import { grid, gridFor, u32, type Kernel, type KernelCapabilities } from '../graph/kernel';
import { rowsOf, type Operand, type Tensor } from '../graph/tensor';
import { shader } from '../graph/shaders';
import { byRow, gatherKernel, scatterKernel, zeroKernel, type RowChunk } from './head_rows';
import { slicesOf, SLICE, type ChunkScratch, type Tile } from './head_tiles';
import { matmulKernels } from './matmul';
import { reduceModule } from './modules';
import { capModules, capParam } from './softcap';

const targetModules = [shader('head/places'), shader('head/targets')];
const slicesShader = shader('head/slices');
const rowsShader = shader('head/rows');
const gradientShader = shader('head/gradient');
const sumShader = shader('sums/sum');

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

/** The work on a chunk of labelled rows. */
interface Chunk extends HeadWork, RowChunk {
  /** Its rows of the scratch. */
  readonly chunkHidden: Operand;
  readonly logits: readonly Operand[];
}

export function headKernels(work: HeadWork, capabilities: KernelCapabilities): Kernel[] {
  const { hidden, dHidden, tokenLoss, loss, tiles, scratch } = work;
  const allRows = hidden.shape[0]!;
  const summed = tiles.some(({ dWeights }) => dWeights !== undefined);
  const list: Kernel[] = [zeroKernel(tokenLoss), ...(dHidden ? [zeroKernel(dHidden)] : [])];
  for (let first = 0; first < allRows; first += scratch.rows) {
    const count = Math.min(scratch.rows, allRows - first);
    const logits = tiles.map((_, i) => scratch.logits(i, count));
    const chunk: Chunk = { ...work, first, count, summed, chunkHidden: rowsOf(scratch.hidden, 0, count), logits };
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

/** The logits of a chunk, their log-sum-exp, and the token losses. */
function lossKernels(chunk: Chunk, capabilities: KernelCapabilities): Kernel[] {
  const { first, count, labels, rows, softcap, tiles, tokenLoss, scratch, chunkHidden, logits } = chunk;
  const { lse, labelLogit, statistics } = scratch;
  const allSlices = slicesOf(tiles.map(({ columns }) => columns));
  const ofTiles = tiles.flatMap(({ weights, columns, firstColumn, slices, firstSlice }, i): Kernel[] => [
    ...matmulKernels(
      { inputs: [chunkHidden, weights], outputs: [logits[i]!], attrs: LOGITS, rows: first },
      capabilities,
    ),
    {
      shader: slicesShader,
      modules: [reduceModule(capabilities), ...capModules(softcap, 1), ...targetModules],
      sizes: { SLICE },
      params: [...[columns, firstColumn, first, slices, firstSlice, allSlices, count].map(u32), capParam(softcap)],
      bindings: [logits[i], labels, rows, statistics, labelLogit],
      ...byRow(chunk, grid(count * slices)),
      flops: 12 * count * columns,
    },
  ]);
  const ofRows: Kernel = {
    shader: rowsShader,
    modules: targetModules,
    params: [count, first, allSlices].map(u32),
    bindings: [statistics, labelLogit, labels, rows, lse, tokenLoss],
    ...byRow(chunk, gridFor(count)),
    flops: 12 * count * allSlices,
  };
  return [gatherKernel(chunk, chunkHidden), ...ofTiles, ofRows];
}

/** Turns the logits of a chunk into their gradient, adds what they give to dW, and stores its rows of dHidden. */
function gradientKernels(chunk: Chunk, dHidden: Tensor, capabilities: KernelCapabilities): Kernel[] {
  const { first, count, labels, rows, dLoss, softcap, tiles, scratch, chunkHidden, logits } = chunk;
  const toLogits = tiles.flatMap(({ dWeights, columns, firstColumn, slices }, i): Kernel[] => {
    const toWeights = dWeights && { inputs: [logits[i]!, chunkHidden], outputs: [dWeights], attrs: D_WEIGHTS };
    return [
      {
        shader: gradientShader,
        modules: [...capModules(softcap, 1), ...targetModules],
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
  return [...toLogits, ...toHidden, scatterKernel(chunk, chunkHidden, dHidden)];
}

/** The three products: hidden · Wᵀ, dLogits · W and dLogitsᵀ · hidden. */
export const LOGITS = { transposeA: false, transposeB: true, alpha: 1 };
export const D_HIDDEN = { transposeA: false, transposeB: false, alpha: 1 };
export const D_WEIGHTS = { transposeA: true, transposeB: false, alpha: 1, accumulate: true };
