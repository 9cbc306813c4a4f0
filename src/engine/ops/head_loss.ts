import type { Graph, Op, Tensor } from '../graph/graph';
import { grid, gridFor, u32, type Kernel, type KernelCapabilities } from '../graph/kernel';
import { isQuantized, rowsOf, type Operand, type TensorType } from '../graph/tensor';
import { matmulKernels } from './matmul';
import { reduceModule } from './modules';
import { expectShape, matrix } from './shape';
import { capModules, capParam, expectCap } from './softcap';
import { shader } from '../graph/shaders';

const slicesShader = shader('head/slices');
const rowsShader = shader('head/rows');
const gradientShader = shader('head/gradient');
const sumShader = shader('sums/sum');

/** Logits that exist at once stay below this, or are those of `ROW_STEP` rows where the vocabulary is larger yet. */
const LOGITS_BYTES = 32 * 1024 * 1024;

/** Chunks of rows begin at multiples of this, so that bindings of whole rows of any width are aligned. */
const ROW_STEP = 64;

/** Most rows of W in a tile: long sums are summed in parts of this, which keeps their error small. */
const TILE_ROWS = 16384;

/** Logits of a row that a workgroup takes. */
const SLICE = 4096;

export interface HeadLossOptions {
  /** Logits are capped at this, softly: cap · tanh(logit / cap) (Transformers' `final_logit_softcapping`). */
  readonly softcap?: number | undefined;
}

/** The inputs of a node by name; `table` is W in parts of whole rows. */
interface Inputs {
  readonly hidden: Tensor;
  readonly labels: Tensor;
  readonly table: readonly Tensor[];
  /** Of nodes with gradients. */
  readonly dLoss?: Tensor;
  /** f32 leaves by part of a trained table, which the node adds to; else empty. */
  readonly dTable: readonly Tensor[];
}

/**
 * Cross entropy of logits that are never there as a whole. For each chunk of rows: logits = hidden · Wᵀ in tiles of the
 * vocabulary, softmax statistics by slices of a row, the token losses; with gradients the logits become their own
 * gradient in place, and are multiplied out to dHidden and dW at once. So nothing is computed twice, and a backward
 * pass begins at dHidden (the loss is the end of its graph: what flows into it is known). After Hsu et al. 2024, "Liger
 * Kernel", arXiv:2410.10989. All sums have a fixed order.
 *
 * Inputs: hidden, labels, `parts` parts of W; with gradients dLoss, and the gradients' leaves where W is trained.
 * Outputs: the loss, with gradients dHidden, and scratch.
 */
function headLossOp(parts: number, gradients: boolean, trained: boolean): Op<HeadLossOptions> {
  const named = (inputs: readonly Tensor[]): Inputs => {
    const [hidden, labels, ...rest] = inputs as [Tensor, Tensor, ...Tensor[]];
    const [dLoss, ...dTable] = rest.slice(parts);
    return { hidden, labels, table: rest.slice(0, parts), ...(dLoss && { dLoss }), dTable };
  };
  return {
    name: gradients ? 'headLossGradients' : 'headLoss',
    scratchFrom: gradients ? 2 : 1,
    ...(trained && { writes: Array.from({ length: parts }, (_, i) => 3 + parts + i) }),
    outputs(inputs, { softcap }) {
      expectCap('headLoss', softcap);
      return outputs(named(inputs));
    },
    kernels: (node, capabilities) => kernels({ ...named(node.inputs), ...node.attrs }, node.outputs, capabilities),
  };
}

/** A range of the vocabulary whose logits are computed together. */
interface Tile {
  readonly weights: Operand;
  readonly dWeights: Operand | undefined;
  readonly columns: number;
  readonly firstColumn: number;
  readonly slices: number;
  readonly firstSlice: number;
}

/** Parts of a quantised table are not cut: a range of a buffer has the codes of rows but not their scales. */
function tilesOf({ table, dTable }: Inputs): Tile[] {
  const tiles: Tile[] = [];
  let firstColumn = 0;
  let firstSlice = 0;
  table.forEach((part, i) => {
    const rows = part.shape[0]!;
    const most = isQuantized(part.dtype) ? rows : TILE_ROWS;
    for (let first = 0; first < rows; first += most) {
      const columns = Math.min(most, rows - first);
      const slices = Math.ceil(columns / SLICE);
      const dWeights = dTable[i] && rowsOf(dTable[i], first, columns);
      tiles.push({ weights: rowsOf(part, first, columns), dWeights, columns, firstColumn, slices, firstSlice });
      firstColumn += columns;
      firstSlice += slices;
    }
  });
  return tiles;
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

/** Rows of a chunk. */
function chunkRows(rows: number, vocab: number): number {
  const fitting = Math.floor(LOGITS_BYTES / (4 * vocab) / ROW_STEP) * ROW_STEP;
  return Math.min(rows, Math.max(ROW_STEP, fitting));
}

function outputs(inputs: Inputs): TensorType[] {
  const { hidden, labels, table, dLoss, dTable } = inputs;
  const [rows, channels] = matrix('headLoss', hidden);
  expectShape('headLoss labels', labels, [rows]);
  table.forEach((part) => expectShape('headLoss table', part, [part.shape[0]!, channels]));
  dTable.forEach((gradient, i) => expectShape('headLoss gradient', gradient, table[i]!.shape));
  const tiles = tilesOf(inputs);
  const chunk = chunkRows(rows, sum(tiles.map(({ columns }) => columns)));
  const f32 = (...shape: number[]): TensorType => ({ shape, dtype: 'f32' });
  return [
    f32(1),
    ...(dLoss ? [f32(rows, channels)] : []),
    f32(rows), // token losses
    f32(chunk), // log-sum-exp
    f32(chunk), // logits of the labels
    f32(chunk, 2 * sum(tiles.map(({ slices }) => slices))),
    ...tiles.map(({ columns }) => f32(chunk, columns)),
  ];
}

/** What an evaluation of a chunk of rows works on. */
interface Chunk {
  readonly inputs: Inputs & HeadLossOptions;
  /** Its first row, and how many it has. */
  readonly first: number;
  readonly rows: number;
  readonly hidden: Operand;
  readonly tiles: readonly (Tile & { readonly logits: Operand })[];
  readonly tokenLoss: Tensor;
  readonly lse: Tensor;
  readonly labelLogit: Tensor;
  readonly statistics: Tensor;
}

function kernels(inputs: Chunk['inputs'], outputs: readonly Tensor[], capabilities: KernelCapabilities): Kernel[] {
  const { hidden, dLoss } = inputs;
  const [loss, ...rest] = outputs as [Tensor, ...Tensor[]];
  const dHidden = dLoss && rest.shift();
  const [tokenLoss, lse, labelLogit, statistics, ...logits] = rest as [Tensor, Tensor, Tensor, Tensor, ...Tensor[]];
  const allRows = hidden.shape[0]!;
  const most = lse.shape[0]!;
  const list: Kernel[] = [];
  for (let first = 0; first < allRows; first += most) {
    const rows = Math.min(most, allRows - first);
    const tiles = tilesOf(inputs).map((tile, i) => ({ ...tile, logits: rowsOf(logits[i]!, 0, rows) }));
    const scratch = { tokenLoss, lse, labelLogit, statistics };
    const chunk: Chunk = { inputs, first, rows, hidden: rowsOf(hidden, first, rows), tiles, ...scratch };
    list.push(...lossKernels(chunk, capabilities));
    if (dHidden) list.push(...gradientKernels(chunk, rowsOf(dHidden, first, rows), capabilities));
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
  const { inputs, first, rows, hidden, tiles, tokenLoss, lse, labelLogit, statistics } = chunk;
  const { labels, softcap } = inputs;
  const allSlices = statistics.shape[1]! / 2;
  const ofTiles = tiles.flatMap(({ weights, logits, columns, firstColumn, slices, firstSlice }): Kernel[] => [
    ...matmulKernels({ inputs: [hidden, weights], outputs: [logits], attrs: LOGITS }, capabilities),
    {
      shader: slicesShader,
      modules: [reduceModule(capabilities), ...capModules(softcap, 1)],
      sizes: { SLICE },
      params: [...[columns, firstColumn, first, slices, firstSlice, allSlices, rows].map(u32), capParam(softcap)],
      bindings: [logits, labels, statistics, labelLogit],
      workgroups: grid(rows * slices),
      flops: 12 * rows * columns,
    },
  ]);
  const ofRows: Kernel = {
    shader: rowsShader,
    params: [rows, first, allSlices].map(u32),
    bindings: [statistics, labelLogit, labels, lse, tokenLoss],
    workgroups: gridFor(rows),
    flops: 12 * rows * allSlices,
  };
  return [...ofTiles, ofRows];
}

/** Turns the logits of a chunk into their gradient; stores its rows of dHidden and adds what they give to dW. */
function gradientKernels(chunk: Chunk, dHidden: Operand, capabilities: KernelCapabilities): Kernel[] {
  const { inputs, first, rows, hidden, tiles, lse } = chunk;
  return tiles.flatMap(({ weights, dWeights, logits, columns, firstColumn, slices }, i): Kernel[] => {
    const toHidden = { inputs: [logits, weights], outputs: [dHidden], attrs: { ...D_HIDDEN, accumulate: i > 0 } };
    const toWeights = dWeights && { inputs: [logits, hidden], outputs: [dWeights], attrs: D_WEIGHTS };
    return [
      {
        shader: gradientShader,
        modules: capModules(inputs.softcap, 1),
        sizes: { SLICE },
        params: [...[columns, firstColumn, first, slices, rows].map(u32), capParam(inputs.softcap)],
        bindings: [logits, inputs.labels, lse, inputs.dLoss],
        workgroups: grid(rows * slices),
        flops: 10 * rows * columns,
      },
      ...matmulKernels(toHidden, capabilities),
      ...(toWeights ? matmulKernels(toWeights, capabilities) : []),
    ];
  });
}

/** The three products: hidden · Wᵀ, dLogits · W and dLogitsᵀ · hidden. */
const LOGITS = { transposeA: false, transposeB: true, alpha: 1 };
const D_HIDDEN = { transposeA: false, transposeB: false, alpha: 1 };
const D_WEIGHTS = { transposeA: true, transposeB: false, alpha: 1, accumulate: true };

/**
 * Sum of −log softmax(hidden[N, C] · W[V, C]ᵀ)[label] over the rows whose label (i32 [N]) is not negative: f32 [1].
 * `table` is W, of any weight type, in parts of whole rows.
 */
export function headLoss(
  graph: Graph,
  hidden: Tensor,
  table: readonly Tensor[],
  labels: Tensor,
  options: HeadLossOptions = {},
): Tensor {
  return graph.apply1(headLossOp(table.length, false, false), [hidden, labels, ...table], options);
}

/**
 * The same with the gradients that dLoss (f32 [1]) sends back: dHidden [N, C], and those of the table added to `dTable`,
 * f32 leaves by part; none where the table is frozen.
 */
export function headLossGradients(
  graph: Graph,
  hidden: Tensor,
  table: readonly Tensor[],
  labels: Tensor,
  dLoss: Tensor,
  dTable: readonly Tensor[] = [],
  options: HeadLossOptions = {},
): { loss: Tensor; dHidden: Tensor } {
  const op = headLossOp(table.length, true, dTable.length > 0);
  const [loss, dHidden] = graph.apply(op, [hidden, labels, ...table, dLoss, ...dTable], options);
  return { loss: loss!, dHidden: dHidden! };
}
