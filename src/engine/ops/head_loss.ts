import type { Graph, Node, Op, Tensor } from '../graph/graph';
import type { TensorType } from '../graph/tensor';
import { headKernels } from './head_kernels';
import { chunkScratch, leastScratch, roomierScratch, tilesOf, type HeadSizes } from './head_tiles';
import { expectShape, matrix } from './shape';
import { expectCap } from './softcap';

export interface HeadLossOptions {
  /** Logits are capped at this, softly: cap · tanh(logit / cap) (Transformers' `final_logit_softcapping`). */
  readonly softcap?: number | undefined;
}

/** What rows predict. */
export interface Targets {
  /** i32 [N]; negative where a row has no label. */
  readonly labels: Tensor;
  /** u32 [N]: the rows that have one, in order; past their count, the largest u32. */
  readonly rows: Tensor;
}

/** The inputs of a node by name; `table` is W in parts of whole rows. */
interface Inputs {
  readonly hidden: Tensor;
  readonly labels: Tensor;
  readonly rows: Tensor;
  readonly table: readonly Tensor[];
  /** Of nodes with gradients. */
  readonly dLoss: Tensor | undefined;
  /** f32 leaves by part of a trained table, which the node adds to; else empty. */
  readonly dTable: readonly Tensor[];
}

/**
 * Cross entropy of logits that are never there as a whole. For each chunk of labelled rows: logits = hidden · Wᵀ in tiles of
 * the vocabulary, softmax statistics by slices of a row, the token losses; with gradients the logits become their own
 * gradient in place, and are multiplied out to dHidden and dW at once. So nothing is computed twice, and a backward
 * pass begins at dHidden (the loss is the end of its graph: what flows into it is known). After Hsu et al. 2024, "Liger
 * Kernel", arXiv:2410.10989. All sums have a fixed order; that of the loss is the order of all rows.
 *
 * There are kernels for as many chunks as rows; a run of a batch leaves out those past its last labelled row
 * (`Kernel.rows`). Chunks are as large as slots of the plan allow that are free meanwhile.
 *
 * Inputs: hidden, labels, their rows, `parts` parts of W; with gradients dLoss, and the gradients' leaves where W is trained.
 * Outputs: the loss, with gradients dHidden, and scratch.
 */
function headLossOp(parts: number, gradients: boolean, trained: boolean): Op<HeadLossOptions> {
  const named = (inputs: readonly Tensor[]): Inputs => {
    const [hidden, labels, rows, ...rest] = inputs as [Tensor, Tensor, Tensor, ...Tensor[]];
    const [dLoss, ...dTable] = rest.slice(parts);
    return { hidden, labels, rows, table: rest.slice(0, parts), dLoss, dTable };
  };
  /** Outputs before the scratch of a chunk: the loss, dHidden, the token losses. */
  const ownOutputs = gradients ? 3 : 2;
  return {
    name: gradients ? 'headLossGradients' : 'headLoss',
    scratchFrom: ownOutputs - 1,
    ...(trained && { writes: Array.from({ length: parts }, (_, i) => 4 + parts + i) }),
    outputs(inputs, { softcap }) {
      expectCap('headLoss', softcap);
      return outputs(named(inputs));
    },
    roomFrom: ownOutputs,
    room: ({ inputs }: Node<HeadLossOptions>, free) => roomierScratch(sizesOf(named(inputs)), free),
    kernels: (node, capabilities, _, room = []) => {
      const { table, dTable, ...inputs } = named(node.inputs);
      const sizes = sizesOf({ table, dTable, ...inputs });
      const [loss, dHidden] = node.outputs;
      const work = {
        ...inputs,
        softcap: node.attrs.softcap,
        tiles: tilesOf({ table, dTable }),
        loss: loss!,
        dHidden: gradients ? dHidden : undefined,
        tokenLoss: node.outputs[ownOutputs - 1]!,
        scratch: chunkScratch(room.length > 0 ? room : node.outputs.slice(ownOutputs), sizes),
      };
      return headKernels(work, capabilities);
    },
  };
}

function sizesOf({ hidden, table, dTable }: Inputs): HeadSizes {
  const [rows, channels] = matrix('headLoss', hidden);
  const columns = tilesOf({ table, dTable }).map((tile) => tile.columns);
  return { rows, channels, columns, trained: dTable.length > 0 };
}

function outputs(inputs: Inputs): TensorType[] {
  const { hidden, labels, rows: labelled, table, dLoss, dTable } = inputs;
  const [rows, channels] = matrix('headLoss', hidden);
  expectShape('headLoss labels', labels, [rows]);
  expectShape('headLoss rows', labelled, [rows]);
  table.forEach((part) => expectShape('headLoss table', part, [part.shape[0]!, channels]));
  dTable.forEach((gradient, i) => expectShape('headLoss gradient', gradient, table[i]!.shape));
  const f32 = (...shape: number[]): TensorType => ({ shape, dtype: 'f32' });
  return [f32(1), ...(dLoss ? [f32(rows, channels)] : []), f32(rows), ...leastScratch(sizesOf(inputs))];
}

/**
 * Sum of −log softmax(hidden[N, C] · W[V, C]ᵀ)[label] over the labelled rows: f32 [1]. `table` is W, of any weight type, in
 * parts of whole rows.
 */
export function headLoss(
  graph: Graph,
  hidden: Tensor,
  table: readonly Tensor[],
  { labels, rows }: Targets,
  options: HeadLossOptions = {},
): Tensor {
  return graph.apply1(headLossOp(table.length, false, false), [hidden, labels, rows, ...table], options);
}

/**
 * The same with the gradients that dLoss (f32 [1]) sends back: dHidden [N, C], and those of the table added to `dTable`,
 * f32 leaves by part; none where the table is frozen.
 */
export function headLossGradients(
  graph: Graph,
  hidden: Tensor,
  table: readonly Tensor[],
  { labels, rows }: Targets,
  dLoss: Tensor,
  dTable: readonly Tensor[] = [],
  options: HeadLossOptions = {},
): { loss: Tensor; dHidden: Tensor } {
  const op = headLossOp(table.length, true, dTable.length > 0);
  const [loss, dHidden] = graph.apply(op, [hidden, labels, rows, ...table, dLoss, ...dTable], options);
  return { loss: loss!, dHidden: dHidden! };
}
