/** The kernels of the head and its loss, chunk by chunk of labelled rows. */
import { grid, gridFor, u32, type Kernel, type KernelCapabilities } from '../graph/kernel';
import { rowsOf, type Operand, type Tensor } from '../graph/tensor';
import { shader } from '../graph/shaders';
import { byRow, gatherKernel, putTokens, scatterKernel, takeTokens, zeroKernel, type RowChunk } from './head_rows';
import { slicesOf, SLICE, type ChunkScratch, type Tile } from './head_tiles';
import { matmulKernels } from './matmul';
import { reduceModule } from './modules';
import { capModules, capParam } from './softcap';
import type { TokenRows } from './token_rows';

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
  readonly tokens: TokenRows | undefined;
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
  /** The tokens that have rows of their own, and their logits. */
  readonly own: (TokenRows & { readonly ofTokens: Operand }) | undefined;
}

export function headKernels(work: HeadWork, capabilities: KernelCapabilities): Kernel[] {
  const { hidden, dHidden, tokenLoss, loss, tiles, tokens, scratch } = work;
  const allRows = hidden.shape[0]!;
  const summed = tokens?.dRows !== undefined || tiles.some(({ dWeights }) => dWeights !== undefined);
  const list: Kernel[] = [zeroKernel(tokenLoss), ...(dHidden ? [zeroKernel(dHidden)] : [])];
  for (let first = 0; first < allRows; first += scratch.rows) {
    const count = Math.min(scratch.rows, allRows - first);
    const logits = tiles.map((_, i) => scratch.logits(i, count));
    const own = tokens && { ...tokens, ofTokens: rowsOf(scratch.tokenLogits!, 0, count) };
    const chunk: Chunk = { ...work, first, count, summed, chunkHidden: rowsOf(scratch.hidden, 0, count), logits, own };
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
  const { first, count, labels, rows, softcap, tiles, tokenLoss, scratch, chunkHidden, logits, own } = chunk;
  const { lse, labelLogit, statistics } = scratch;
  const allSlices = slicesOf(tiles.map(({ columns }) => columns));
  const ofTiles = tiles.flatMap(({ weights, columns, firstColumn, slices, firstSlice }, i): Kernel[] => [
    ...matmulKernels(
      { inputs: [chunkHidden, weights], outputs: [logits[i]!], attrs: LOGITS, rows: first },
      capabilities,
    ),
    ...(own ? [putTokens(chunk, { ...own, logits: logits[i]!, firstColumn })] : []),
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
  const ofTokens = own
    ? matmulKernels(
        { inputs: [chunkHidden, own.rows], outputs: [own.ofTokens], attrs: LOGITS, rows: first },
        capabilities,
      )
    : [];
  return [gatherKernel(chunk, chunkHidden), ...ofTokens, ...ofTiles, ofRows];
}

/** Turns the logits of a chunk into their gradient, adds what they give to dW, and stores its rows of dHidden. */
function gradientKernels(chunk: Chunk, dHidden: Tensor, capabilities: KernelCapabilities): Kernel[] {
  const { first, count, labels, rows, dLoss, softcap, tiles, scratch, chunkHidden, logits, own } = chunk;
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
      ...(own ? [takeTokens(chunk, { ...own, logits: logits[i]!, firstColumn })] : []),
      ...(toWeights ? matmulKernels({ ...toWeights, rows: first }, capabilities) : []),
    ];
  });
  const toRows = own?.dRows && { inputs: [own.ofTokens, chunkHidden], outputs: [own.dRows], attrs: D_WEIGHTS };
  // Hidden states are not needed any more: their gradient takes their place.
  const products = tiles.map(({ weights }, i) => ({ from: logits[i]!, weights }));
  if (own) products.push({ from: own.ofTokens, weights: own.rows });
  const toHidden = products.flatMap(({ from, weights }, i) => {
    const attrs = { ...D_HIDDEN, accumulate: i > 0 };
    return matmulKernels({ inputs: [from, weights], outputs: [chunkHidden], attrs, rows: first }, capabilities);
  });
  return [
    ...toLogits,
    ...(toRows ? matmulKernels({ ...toRows, rows: first }, capabilities) : []),
    ...toHidden,
    scatterKernel(chunk, chunkHidden, dHidden),
  ];
}

/** The three products: hidden · Wᵀ, dLogits · W and dLogitsᵀ · hidden. */
export const LOGITS = { transposeA: false, transposeB: true, alpha: 1 };
export const D_HIDDEN = { transposeA: false, transposeB: false, alpha: 1 };
export const D_WEIGHTS = { transposeA: true, transposeB: false, alpha: 1, accumulate: true };
