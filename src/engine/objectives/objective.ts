/**
 * An objective: the inputs that a step wants, the graph from hidden states to a loss and what is logged, and how the losses
 * of micro-batches add up. It knows no method: what is trained, and how, is in the passes that it is given.
 */
import type { Graph, Tensor } from '../graph/graph';
import { countLabels } from '../model/batch';
import { logProbs } from '../ops/log_probs';
import type { TokenRows } from '../ops/token_rows';
import type { Batch } from '../types';

/** One forward pass, up to where the head begins. N = B·T rows. */
export interface Pass {
  /** [N, C] */
  readonly hidden: Tensor;
  /** The head's weight, in parts of whole rows. */
  readonly table: readonly Tensor[];
  /** Leaves that gradients of the table are added to; none where it is frozen, or nothing is differentiated. */
  readonly dTable: readonly Tensor[];
  /** Rows of tokens that stand in the place of the table's, with the leaf of their gradient where they are trained. */
  readonly tokens?: TokenRows | undefined;
}

export interface ObjectiveContext {
  readonly graph: Graph;
  /** Sequences, and tokens of each. */
  readonly batch: number;
  readonly length: number;
  readonly softcap: number | undefined;
  /** What each row predicts, i32 [N]; negative where it isn't trained. */
  readonly labels: Tensor;
  /** u32 [N]: the rows that are trained, in order; past their count, the largest u32. */
  readonly labelled: Tensor;
  /**
   * The pass of what is trained, emitted where it is asked for; asked again, the same. Whatever comes before it, such as
   * the reference, needs no memory by then.
   */
  trained(): Pass;
  /** The pass of what the run started from (see `Objective.reference`), without gradients. */
  reference(): Pass;
  /** A leaf that `Objective.inputs` has values for, by its name. */
  input(name: string, shape: readonly number[], dtype: 'f32' | 'i32' | 'u32'): Tensor;
  /** The gradient of the loss, f32 [1]; undefined where nothing is differentiated. */
  readonly dLoss: Tensor | undefined;
}

export interface ObjectiveGraph {
  /** f32 [1]; the losses of micro-batches are summed. */
  readonly loss: Tensor;
  /** f32 [M], summed likewise. */
  readonly metrics?: Tensor | undefined;
  /** Where the backward pass begins: values and their gradients. */
  readonly seeds: ReadonlyMap<Tensor, Tensor>;
}

export interface Objective {
  /** Names of the metrics, in their order; each is the mean over micro-batches of what the graph gives. */
  readonly metrics: readonly string[];
  /** What `ObjectiveContext.reference` is: the model without its adapter, a copy of what is trained, or not asked for. */
  readonly reference: 'base' | 'copy' | 'none';
  build(context: ObjectiveContext): ObjectiveGraph;
  /** Values of the leaves that `build` asks for, for a batch of up to `batch` sequences padded to `length`. */
  inputs(batch: Batch, shape: { readonly batch: number; readonly length: number }): ReadonlyMap<string, InputValues>;
  /** What the summed losses of a step are divided by, which gives its loss; what they add up with is its inverse. */
  divisor(microBatches: readonly Batch[]): number;
  /** By how much a batch counts in the mean of an evaluation. */
  count(batch: Batch): number;
}

export type InputValues = Float32Array | Int32Array;

/** Log-probabilities of the labels, f32 [N], 0 where there is none. */
export function labelLogProbs({ graph, labels, labelled, softcap }: ObjectiveContext, pass: Pass): Tensor {
  const chosen = { targets: labels, rows: labelled };
  return logProbs(graph, pass.hidden, pass.table, chosen, pass.dTable, { softcap, tokens: pass.tokens }).logProbs;
}

/** Where the backward pass of a loss begins that autodiff takes apart. */
export function lossSeeds(loss: Tensor, dLoss: Tensor | undefined): ReadonlyMap<Tensor, Tensor> {
  return new Map(dLoss ? [[loss, dLoss]] : []);
}

export function labelsOf(batches: readonly Batch[]): number {
  return batches.reduce((sum, batch) => sum + countLabels(batch), 0);
}
