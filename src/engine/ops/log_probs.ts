/**
 * Log-probabilities of chosen tokens, from logits that are never there as a whole, and their gradient from whatever an
 * objective makes of them. `head_loss.ts` is the case whose coefficient is known, which computes nothing twice.
 */
import { elementCount } from '../../core/dtypes';
import type { Graph, Op, Tensor } from '../graph/graph';
import { grid, gridFor, u32, type Kernel, type KernelCapabilities } from '../graph/kernel';
import { shader } from '../graph/shaders';
import { rowsOf, type TensorType } from '../graph/tensor';
import { D_HIDDEN, D_WEIGHTS, LOGITS } from './head_kernels';
import type { HeadLossOptions } from './head_loss';
import { chunkRows, SLICE, tilesOf } from './head_tiles';
import { matmulKernels } from './matmul';
import { reduceModule } from './modules';
import { expectShape, matrix } from './shape';
import { capModules, capParam, expectCap } from './softcap';

const slicesShader = shader('head/target_slices');
const rowsShader = shader('head/target_rows');
const gradientShader = shader('head/target_gradient');

/** Numbers that a slice of a row leaves: its maximum and two sums. */
const STATISTICS = 3;

interface Head {
  readonly hidden: Tensor;
  readonly targets: Tensor;
  /** W in parts of whole rows, and f32 leaves that its gradients are added to: as many, or none where W is frozen. */
  readonly table: readonly Tensor[];
  readonly dTable: readonly Tensor[];
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
  head.table.forEach((part) => expectShape('logProbs table', part, [part.shape[0]!, channels]));
  head.dTable.forEach((gradient, i) => expectShape('logProbs gradient', gradient, head.table[i]!.shape));
}

const f32 = (...shape: number[]): TensorType => ({ shape, dtype: 'f32' });

/** The logits of a chunk of rows, tile by tile: scratch of either pass. */
function logitsScratch(head: Head): TensorType[] {
  const chunk = chunkRows(head.hidden.shape[0]!, vocabOf(head));
  return tilesOf(head).map(({ columns }) => f32(chunk, columns));
}

/** What either pass does with each chunk of rows: `first` to `first + rows`, with room for its logits. */
function eachChunk(
  head: Head,
  logits: readonly Tensor[],
  kernels: (first: number, rows: number, tiles: ReturnType<typeof chunkTiles>) => Kernel[],
): Kernel[] {
  const allRows = head.hidden.shape[0]!;
  const most = logits[0]!.shape[0]!;
  const list: Kernel[] = [];
  for (let first = 0; first < allRows; first += most) {
    const rows = Math.min(most, allRows - first);
    list.push(...kernels(first, rows, chunkTiles(head, logits, rows)));
  }
  return list;
}

function chunkTiles(head: Head, logits: readonly Tensor[], rows: number) {
  return tilesOf(head).map((tile, i) => ({ ...tile, logits: rowsOf(logits[i]!, 0, rows) }));
}

/**
 * Inputs: hidden, targets, the parts of W, and the leaves of its gradients, which the backward pass alone writes.
 * Outputs: log-probabilities, the log-sum-exp and the entropy of each row, and scratch.
 */
function logProbsOp(parts: number): Op<HeadLossOptions> {
  const named = ([hidden, targets, ...rest]: readonly Tensor[]): Head => {
    return { hidden: hidden!, targets: targets!, table: rest.slice(0, parts), dTable: rest.slice(parts) };
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
      return [...results, targetLogits, f32(chunk, STATISTICS * slices), ...logitsScratch(head)];
    },
    kernels: ({ inputs, outputs, attrs }, capabilities) => forward(named(inputs), outputs, attrs, capabilities),
    backward({ graph, inputs, outputs, attrs, dOutputs: [dLogProbs, ...others] }) {
      if (!dLogProbs || others.some((gradient) => gradient)) throw new Error('logProbs: only they have a gradient');
      const { hidden, targets, table, dTable } = named(inputs);
      const op = gradientOp(parts, dTable.length > 0);
      return [graph.apply1(op, [hidden, targets, outputs[1]!, dLogProbs, ...table, ...dTable], attrs)];
    },
  };
}

function forward(
  head: Head,
  outputs: readonly Tensor[],
  { softcap }: HeadLossOptions,
  capabilities: KernelCapabilities,
): Kernel[] {
  const [logProbs, lse, entropy, targetLogits, statistics, ...logits] = outputs as [
    Tensor,
    Tensor,
    Tensor,
    Tensor,
    Tensor,
    ...Tensor[],
  ];
  const { hidden, targets } = head;
  const perRow = targetsOf(head);
  const allSlices = statistics.shape[1]! / STATISTICS;
  return eachChunk(head, logits, (first, rows, tiles) => [
    ...tiles.flatMap(({ weights, logits, columns, firstColumn, slices, firstSlice }): Kernel[] => [
      ...matmulKernels(
        { inputs: [rowsOf(hidden, first, rows), weights], outputs: [logits], attrs: LOGITS },
        capabilities,
      ),
      {
        shader: slicesShader,
        modules: [reduceModule(capabilities), ...capModules(softcap, 1)],
        sizes: { SLICE },
        params: [
          ...[columns, firstColumn, first, slices, firstSlice, allSlices, rows, perRow].map(u32),
          capParam(softcap),
        ],
        bindings: [logits, targets, statistics, targetLogits],
        workgroups: grid(rows * slices),
        flops: 14 * rows * columns,
      },
    ]),
    {
      shader: rowsShader,
      params: [rows, first, allSlices, perRow].map(u32),
      bindings: [statistics, targetLogits, targets, logProbs, lse, entropy],
      workgroups: gridFor(rows),
      flops: rows * (16 * allSlices + perRow),
    },
  ]);
}

/** Inputs: hidden, targets, log-sum-exp, dLogProbs, the parts of W, the leaves of its gradients where it is trained. */
function gradientOp(parts: number, trained: boolean): Op<HeadLossOptions> {
  const named = ([hidden, targets, , , ...rest]: readonly Tensor[]): Head => {
    return { hidden: hidden!, targets: targets!, table: rest.slice(0, parts), dTable: rest.slice(parts) };
  };
  return {
    name: 'logProbsGradient',
    scratchFrom: 1,
    ...(trained && { writes: Array.from({ length: parts }, (_, i) => 4 + parts + i) }),
    outputs(inputs) {
      const head = named(inputs);
      expectShape('logProbs gradient', inputs[3]!, head.targets.shape);
      return [f32(...head.hidden.shape), ...logitsScratch(head)];
    },
    kernels({ inputs, outputs: [dHidden, ...logits], attrs: { softcap } }, capabilities) {
      const head = named(inputs);
      const { hidden, targets } = head;
      const [, , lse, dLogProbs] = inputs as [Tensor, Tensor, Tensor, Tensor];
      return eachChunk(head, logits, (first, rows, tiles) => {
        const ofRows = rowsOf(hidden, first, rows);
        return tiles.flatMap(({ weights, dWeights, logits, columns, firstColumn, slices }, i): Kernel[] => {
          const attrs = { ...D_HIDDEN, accumulate: i > 0 };
          const toHidden = { inputs: [logits, weights], outputs: [rowsOf(dHidden!, first, rows)], attrs };
          const toWeights = dWeights && { inputs: [logits, ofRows], outputs: [dWeights], attrs: D_WEIGHTS };
          return [
            ...matmulKernels({ inputs: [ofRows, weights], outputs: [logits], attrs: LOGITS }, capabilities),
            {
              shader: gradientShader,
              modules: capModules(softcap, 1),
              sizes: { SLICE },
              params: [...[columns, firstColumn, first, slices, rows, targetsOf(head)].map(u32), capParam(softcap)],
              bindings: [logits, targets, lse, dLogProbs],
              workgroups: grid(rows * slices),
              flops: (10 + targetsOf(head)) * rows * columns,
            },
            ...matmulKernels(toHidden, capabilities),
            ...(toWeights ? matmulKernels(toWeights, capabilities) : []),
          ];
        });
      });
    },
  };
}

export interface LogProbs {
  /** f32 of the targets' shape. */
  readonly logProbs: Tensor;
  /** Of the softmax of each row's logits, f32 [N], in nats; without a gradient. */
  readonly entropy: Tensor;
}

/**
 * log softmax(hidden[N, C] · W[V, C]ᵀ)[target] for targets i32 [N] or [N, K]; 0 where a target is negative. `table` is W,
 * of any weight type, in parts of whole rows; the backward pass adds its gradients to `dTable`, f32 leaves by part, none
 * where the table is frozen.
 */
export function logProbs(
  graph: Graph,
  hidden: Tensor,
  table: readonly Tensor[],
  targets: Tensor,
  dTable: readonly Tensor[] = [],
  options: HeadLossOptions = {},
): LogProbs {
  const [chosen, , entropy] = graph.apply(logProbsOp(table.length), [hidden, targets, ...table, ...dTable], options);
  return { logProbs: chosen!, entropy: entropy! };
}
