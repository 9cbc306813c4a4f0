import type { Graph, Node, Op, Tensor } from '../graph/graph';
import type { TensorType } from '../graph/tensor';
import { headKernels } from './head_kernels';
import { chunkScratch, leastScratch, roomierScratch, tilesOf, type HeadSizes } from './head_tiles';
import {
  checkHead,
  headForm,
  headInputs,
  headWeights,
  headWrites,
  type HeadForm,
  type HeadWeights,
} from './head_weights';
import { expectShape, matrix } from './shape';
import { expectCap } from './softcap';
import type { TokenRows } from './token_rows';

export interface HeadLossOptions {
  /** Logits are capped at this, softly: cap · tanh(logit / cap) (Transformers' `final_logit_softcapping`). */
  readonly softcap?: number | undefined;
}

/** The head's options with what stands in the place of some rows of its table, which is frozen then. */
export interface HeadOptions extends HeadLossOptions {
  readonly tokens?: TokenRows | undefined;
}

/** What rows predict. */
export interface Targets {
  /** i32 [N]; negative where a row has no label. */
  readonly labels: Tensor;
  /** u32 [N]: the rows that have one, in order; past their count, the largest u32. */
  readonly rows: Tensor;
}

/** The inputs of a node by name. */
interface Inputs extends HeadWeights {
  readonly hidden: Tensor;
  readonly labels: Tensor;
  readonly rows: Tensor;
  /** Of nodes with gradients. */
  readonly dLoss: Tensor | undefined;
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
 * Inputs: hidden, labels, their rows, with gradients dLoss, and the weights. Outputs: the loss, with gradients dHidden, and
 * scratch.
 */
function headLossOp(form: HeadForm, gradients: boolean): Op<HeadLossOptions> {
  /** Inputs before the weights. */
  const ownInputs = gradients ? 4 : 3;
  const named = (inputs: readonly Tensor[]): Inputs => {
    const [hidden, labels, rows, dLoss] = inputs.slice(0, ownInputs) as [Tensor, Tensor, Tensor, Tensor?];
    return { hidden, labels, rows, dLoss, ...headWeights(inputs.slice(ownInputs), form) };
  };
  /** Outputs before the scratch of a chunk: the loss, dHidden, the token losses. */
  const ownOutputs = gradients ? 3 : 2;
  return {
    name: gradients ? 'headLossGradients' : 'headLoss',
    scratchFrom: ownOutputs - 1,
    ...headWrites(ownInputs, form),
    outputs(inputs, { softcap }) {
      expectCap('headLoss', softcap);
      return outputs(named(inputs));
    },
    roomFrom: ownOutputs,
    room: ({ inputs }: Node<HeadLossOptions>, free) => roomierScratch(sizesOf(named(inputs)), free),
    kernels: (node, capabilities, _, room = []) => {
      const inputs = named(node.inputs);
      const [loss, dHidden] = node.outputs;
      const work = {
        ...inputs,
        softcap: node.attrs.softcap,
        tiles: tilesOf(inputs),
        loss: loss!,
        dHidden: gradients ? dHidden : undefined,
        tokenLoss: node.outputs[ownOutputs - 1]!,
        scratch: chunkScratch(room.length > 0 ? room : node.outputs.slice(ownOutputs), sizesOf(inputs)),
      };
      return headKernels(work, capabilities);
    },
  };
}

function sizesOf(inputs: Inputs): HeadSizes {
  const [rows, channels] = matrix('headLoss', inputs.hidden);
  const columns = tilesOf(inputs).map((tile) => tile.columns);
  const { dTable, tokens } = inputs;
  const trained = dTable.length > 0 || tokens?.dRows !== undefined;
  return { rows, channels, columns, trained, tokens: tokens?.ids.shape[0] ?? 0 };
}

function outputs(inputs: Inputs): TensorType[] {
  const { hidden, labels, rows: labelled, dLoss } = inputs;
  const [rows, channels] = matrix('headLoss', hidden);
  expectShape('headLoss labels', labels, [rows]);
  expectShape('headLoss rows', labelled, [rows]);
  checkHead('headLoss', inputs, channels);
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
  { tokens, ...options }: HeadOptions = {},
): Tensor {
  const frozen = tokens && { ...tokens, dRows: undefined };
  const inputs = [hidden, labels, rows, ...headInputs({ table, dTable: [], tokens: frozen })];
  return graph.apply1(headLossOp(headForm(table, [], frozen), false), inputs, options);
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
  { tokens, ...options }: HeadOptions = {},
): { loss: Tensor; dHidden: Tensor } {
  const inputs = [hidden, labels, rows, dLoss, ...headInputs({ table, dTable, tokens })];
  const [loss, dHidden] = graph.apply(headLossOp(headForm(table, dTable, tokens), true), inputs, options);
  return { loss: loss!, dHidden: dHidden! };
}
