/**
 * Log-probabilities of chosen tokens, from logits that are never there as a whole, and their gradient from whatever an
 * objective makes of them. `head_loss.ts` is the case whose coefficient is known, which computes nothing twice.
 */
import { elementCount } from '../../core/dtypes';
import type { Graph, Op, Tensor } from '../graph/graph';
import { grid, gridFor, u32, type Kernel, type KernelCapabilities } from '../graph/kernel';
import { shader } from '../graph/shaders';
import { rowsOf, type Operand, type TensorType } from '../graph/tensor';
import { D_HIDDEN, D_WEIGHTS, LOGITS } from './head_kernels';
import type { HeadLossOptions, HeadOptions } from './head_loss';
import { byRow, gatherKernel, putTokens, scatterKernel, takeTokens, zeroKernel, type RowChunk } from './head_rows';
import { chunkRows, SLICE, tilesOf } from './head_tiles';
import {
  checkHead,
  headForm,
  headInputs,
  headWeights,
  headWrites,
  type HeadForm,
  type HeadWeights,
} from './head_weights';
import { matmulKernels } from './matmul';
import { reduceModule } from './modules';
import { expectShape, matrix } from './shape';
import { capModules, capParam, expectCap } from './softcap';
import type { TokenRows } from './token_rows';

const placesModule = shader('head/places');
const slicesShader = shader('head/target_slices');
const rowsShader = shader('head/target_rows');
const gradientShader = shader('head/target_gradient');

/** Numbers that a slice of a row leaves: its maximum and two sums. */
const STATISTICS = 3;

/** What rows predict. */
export interface ChosenTargets {
  /** i32 [N] or [N, K]; negative where there is none. */
  readonly targets: Tensor;
  /** u32 [N]: the rows that have one, in order; past their count, the largest u32. */
  readonly rows: Tensor;
}

interface Head extends ChosenTargets, HeadWeights {
  readonly hidden: Tensor;
}

/** Targets of a row. */
const targetsOf = ({ hidden, targets }: Head): number => elementCount(targets.shape) / hidden.shape[0]!;

function vocabOf({ table }: Head): number {
  return table.reduce((sum, { shape }) => sum + shape[0]!, 0);
}

function check(head: Head, { softcap }: HeadLossOptions): void {
  const [rows, channels] = matrix('logProbs', head.hidden);
  expectCap('logProbs', softcap);
  if (head.targets.shape[0] !== rows) {
    throw new Error(`logProbs: ${rows} rows and targets of [${head.targets.shape.join(', ')}]`);
  }
  expectShape('logProbs rows', head.rows, [rows]);
  checkHead('logProbs', head, channels);
}

const f32 = (...shape: number[]): TensorType => ({ shape, dtype: 'f32' });

/**
 * The hidden states of a chunk of rows, its logits, tile by tile, and those of tokens that have rows of their own: scratch of
 * either pass.
 */
function chunkScratch(head: Head): TensorType[] {
  const [rows, channels] = head.hidden.shape as [number, number];
  const chunk = chunkRows(rows, vocabOf(head));
  const ofTokens = head.tokens ? [f32(chunk, head.tokens.ids.shape[0]!)] : [];
  return [f32(chunk, channels), ...tilesOf(head).map(({ columns }) => f32(chunk, columns)), ...ofTokens];
}

interface Chunk extends RowChunk {
  /** Its part of the scratch. */
  readonly ofRows: Operand;
  readonly tiles: readonly (ReturnType<typeof tilesOf>[number] & { readonly logits: Operand })[];
  /** The tokens that have rows of their own, and their logits. */
  readonly own: (TokenRows & { readonly ofTokens: Operand }) | undefined;
}

/** What either pass does with each chunk of the rows that have a target, in the scratch that it has for one. */
function eachChunk(
  head: Head,
  [hidden, ...logits]: readonly Tensor[],
  summed: boolean,
  kernels: (chunk: Chunk) => Kernel[],
): Kernel[] {
  const allRows = head.hidden.shape[0]!;
  const most = hidden!.shape[0]!;
  const list: Kernel[] = [];
  for (let first = 0; first < allRows; first += most) {
    const count = Math.min(most, allRows - first);
    const tiles = tilesOf(head).map((tile, i) => ({ ...tile, logits: rowsOf(logits[i]!, 0, count) }));
    const own = head.tokens && { ...head.tokens, ofTokens: rowsOf(logits[tiles.length]!, 0, count) };
    const chunk = { first, count, hidden: head.hidden, rows: head.rows, summed, own };
    list.push(...kernels({ ...chunk, ofRows: rowsOf(hidden!, 0, count), tiles }));
  }
  return list;
}

/** The hidden states of a chunk, and the logits of tokens that have rows of their own. */
function beginChunk(chunk: Chunk, capabilities: KernelCapabilities): Kernel[] {
  const { first, ofRows, own } = chunk;
  const product = own && { inputs: [ofRows, own.rows], outputs: [own.ofTokens], attrs: LOGITS, rows: first };
  return [gatherKernel(chunk, ofRows), ...(product ? matmulKernels(product, capabilities) : [])];
}

/** hidden · Wᵀ of a chunk in a tile of the vocabulary. */
function logitsKernels(chunk: Chunk, tile: Chunk['tiles'][number], capabilities: KernelCapabilities): Kernel[] {
  const { first, ofRows, own } = chunk;
  const { weights, logits, firstColumn } = tile;
  return [
    ...matmulKernels({ inputs: [ofRows, weights], outputs: [logits], attrs: LOGITS, rows: first }, capabilities),
    ...(own ? [putTokens(chunk, { ...own, logits, firstColumn })] : []),
  ];
}

/**
 * Inputs: hidden, targets, the rows that have one, and the weights, whose gradients the backward pass alone writes. Outputs: log-probabilities, the log-sum-exp of each such row in their order, the entropy of each row, and
 * scratch.
 */
function logProbsOp(form: HeadForm): Op<HeadLossOptions> {
  const named = ([hidden, targets, rows, ...rest]: readonly Tensor[]): Head => {
    return { hidden: hidden!, targets: targets!, rows: rows!, ...headWeights(rest, form) };
  };
  return {
    name: 'logProbs',
    scratchFrom: 3,
    outputs(inputs, attrs) {
      const head = named(inputs);
      check(head, attrs);
      const rows = head.hidden.shape[0]!;
      const chunk = chunkRows(rows, vocabOf(head));
      const slices = tilesOf(head).reduce((sum, tile) => sum + tile.slices, 0);
      const targetLogits = f32(chunk, targetsOf(head));
      const results = [f32(...head.targets.shape), f32(rows), f32(rows)];
      return [...results, targetLogits, f32(chunk, STATISTICS * slices), ...chunkScratch(head)];
    },
    kernels: ({ inputs, outputs, attrs }, capabilities) => forward(named(inputs), outputs, attrs, capabilities),
    backward({ graph, inputs, outputs, attrs, dOutputs: [dLogProbs, ...others] }) {
      if (!dLogProbs || others.some((gradient) => gradient)) throw new Error('logProbs: only they have a gradient');
      const { hidden, targets, rows, ...weights } = named(inputs);
      const given = [hidden, targets, rows, outputs[1]!, dLogProbs, ...headInputs(weights)];
      return [graph.apply1(gradientOp(form), given, attrs)];
    },
  };
}

function forward(
  head: Head,
  outputs: readonly Tensor[],
  { softcap }: HeadLossOptions,
  capabilities: KernelCapabilities,
): Kernel[] {
  const [logProbs, lse, entropy, targetLogits, statistics, ...scratch] = outputs as [
    Tensor,
    Tensor,
    Tensor,
    Tensor,
    Tensor,
    ...Tensor[],
  ];
  const { hidden, targets, rows } = head;
  const [allRows, perRow] = [hidden.shape[0]!, targetsOf(head)];
  const allSlices = statistics.shape[1]! / STATISTICS;
  const ofChunks = eachChunk(head, scratch, false, (chunk) => {
    const { first, count, tiles } = chunk;
    return [
      ...beginChunk(chunk, capabilities),
      ...tiles.flatMap((tile): Kernel[] => {
        const { logits, columns, firstColumn, slices, firstSlice } = tile;
        const sizes = [columns, firstColumn, first, slices, firstSlice, allSlices, count, allRows, perRow];
        return [
          ...logitsKernels(chunk, tile, capabilities),
          {
            shader: slicesShader,
            modules: [reduceModule(capabilities), ...capModules(softcap, 1), placesModule],
            sizes: { SLICE },
            params: [...sizes.map(u32), capParam(softcap)],
            bindings: [logits, targets, rows, statistics, targetLogits],
            ...byRow(chunk, grid(count * slices)),
            flops: 14 * count * columns,
          },
        ];
      }),
      {
        shader: rowsShader,
        modules: [placesModule],
        params: [count, first, allSlices, allRows, perRow].map(u32),
        bindings: [statistics, targetLogits, targets, rows, logProbs, lse, entropy],
        ...byRow(chunk, gridFor(count)),
        flops: count * (16 * allSlices + perRow),
      },
    ];
  });
  return [zeroKernel(logProbs), zeroKernel(entropy), ...ofChunks];
}

/** Inputs: hidden, targets, rows, log-sum-exp, dLogProbs, the weights. */
function gradientOp(form: HeadForm): Op<HeadLossOptions> {
  const summed = form.trained || form.tokens === 'trained';
  const named = ([hidden, targets, rows, , , ...rest]: readonly Tensor[]): Head => {
    return { hidden: hidden!, targets: targets!, rows: rows!, ...headWeights(rest, form) };
  };
  return {
    name: 'logProbsGradient',
    scratchFrom: 1,
    ...headWrites(5, form),
    outputs(inputs) {
      const head = named(inputs);
      expectShape('logProbs gradient', inputs[4]!, head.targets.shape);
      return [f32(...head.hidden.shape), ...chunkScratch(head)];
    },
    kernels({ inputs, outputs: [dHidden, ...scratch], attrs: { softcap } }, capabilities) {
      const head = named(inputs);
      const { hidden, targets, rows } = head;
      const [, , , lse, dLogProbs] = inputs as [Tensor, Tensor, Tensor, Tensor, Tensor];
      const ofChunks = eachChunk(head, scratch, summed, (chunk) => {
        const { first, count, ofRows, tiles, own } = chunk;
        const toLogits = tiles.flatMap((tile): Kernel[] => {
          const { dWeights, logits, columns, firstColumn, slices } = tile;
          const sizes = [columns, firstColumn, first, slices, count, hidden.shape[0]!, targetsOf(head)];
          const toWeights = dWeights && { inputs: [logits, ofRows], outputs: [dWeights], attrs: D_WEIGHTS };
          return [
            ...logitsKernels(chunk, tile, capabilities),
            {
              shader: gradientShader,
              modules: [...capModules(softcap, 1), placesModule],
              sizes: { SLICE },
              params: [...sizes.map(u32), capParam(softcap)],
              bindings: [logits, targets, rows, lse, dLogProbs],
              ...byRow(chunk, grid(count * slices), true),
              flops: (10 + targetsOf(head)) * count * columns,
            },
            ...(own ? [takeTokens(chunk, { ...own, logits, firstColumn })] : []),
            ...(toWeights ? matmulKernels({ ...toWeights, rows: first }, capabilities) : []),
          ];
        });
        const toRows = own?.dRows && { inputs: [own.ofTokens, ofRows], outputs: [own.dRows], attrs: D_WEIGHTS };
        // Hidden states are not needed any more: their gradient takes their place.
        const products = [...tiles, ...(own ? [{ weights: own.rows, logits: own.ofTokens }] : [])];
        const toHidden = products.flatMap(({ weights, logits }, i) => {
          const attrs = { ...D_HIDDEN, accumulate: i > 0 };
          return matmulKernels({ inputs: [logits, weights], outputs: [ofRows], attrs, rows: first }, capabilities);
        });
        return [
          ...beginChunk(chunk, capabilities),
          ...toLogits,
          ...(toRows ? matmulKernels({ ...toRows, rows: first }, capabilities) : []),
          ...toHidden,
          scatterKernel(chunk, ofRows, dHidden!),
        ];
      });
      return [zeroKernel(dHidden!), ...ofChunks];
    },
  };
}

export interface LogProbs {
  /** f32 of the targets' shape. */
  readonly logProbs: Tensor;
  /** Of the softmax of the logits of each row that has a target, f32 [N], in nats, 0 elsewhere; without a gradient. */
  readonly entropy: Tensor;
}

/**
 * log softmax(hidden[N, C] · W[V, C]ᵀ)[target] for the targets of each row; 0 where a target is negative, and nothing is
 * computed for rows without one. `table` is W, of any weight type, in parts of whole rows; the backward pass adds its
 * gradients to `dTable`, f32 leaves by part, none where the table is frozen.
 */
export function logProbs(
  graph: Graph,
  hidden: Tensor,
  table: readonly Tensor[],
  { targets, rows }: ChosenTargets,
  dTable: readonly Tensor[] = [],
  { tokens, ...options }: HeadOptions = {},
): LogProbs {
  const inputs = [hidden, targets, rows, ...headInputs({ table, dTable, tokens })];
  const [chosen, , entropy] = graph.apply(logProbsOp(headForm(table, dTable, tokens)), inputs, options);
  return { logProbs: chosen!, entropy: entropy! };
}
