/** What a micro-batch and an evaluation compute. */
import { withoutAdapter } from '../../core/adapter';
import { addGradients } from '../graph/autodiff';
import { Graph, type Tensor } from '../graph/graph';
import { gradientLeaf } from '../compile/groups';
import { fuseBiases } from '../compile/bias';
import { fuseDropouts } from '../compile/dropout';
import { keepRepeats } from '../compile/reuse';
import { decoder, head, headTable, headTokens, type DecoderContext } from '../model/decoder';
import { attentionSizes, GraphLeaves, LEAF, type ModelOptions } from '../model/leaves';
import { accumulate } from '../ops/accumulate';
import { attention } from '../ops/attention';
import { gatherRows } from '../ops/cache';
import type { Objective, Pass } from '../objectives/objective';
import { sft } from '../objectives/sft';
import type { Checkpointing } from '../types';
import { ReferenceLeaves } from './reference';

/** A leaf of sums over micro-batches, f32 [count], to read it by. */
export function sumsLeaf(name: string, count: number): Tensor {
  return { id: -1, shape: [count], dtype: 'f32', leaf: { name, kind: 'workspace', trainable: false } };
}

export const LOSS = sumsLeaf(LEAF.loss, 1);

/** What a pass of the model over a batch is. */
export interface PassOptions extends ModelOptions {
  readonly batch: number;
  readonly length: number;
  /** Whether a sequence may hold several documents; absent, it holds one. */
  readonly packed?: boolean;
  readonly checkpoint: boolean;
  readonly checkpointing?: Checkpointing | undefined;
}

export interface LossGraphOptions extends PassOptions {
  /** The loss alone, or with the gradients added to their leaves. */
  readonly gradients: boolean;
  /** Supervised where absent. */
  readonly objective?: Objective | undefined;
  readonly dropout: boolean;
  /** Keep the logits too, [B·T, V], which training never has as a whole. */
  readonly logits?: boolean;
}

/** Adds the loss of a batch to the loss leaf, what is logged to its own and, if asked, the gradients to theirs. */
export function lossGraph(options: LossGraphOptions): { graph: Graph; logits: Tensor | undefined } {
  const { spec, batch, length, gradients, objective = sft } = options;
  const graph = new Graph();
  const seed = options.dropout ? graph.leaf(LEAF.dropoutSeed, { shape: [1], dtype: 'u32' }, 'workspace') : undefined;
  const leaves = new GraphLeaves(graph, options, seed);
  const gradientOf = ({ leaf, shape }: Tensor) =>
    graph.leaf(gradientLeaf(leaf!.name), { shape, dtype: 'f32' }, 'gradients');
  let logits: Tensor | undefined;
  let trained: Pass | undefined;
  const total = leaves.input(LEAF.loss, [1], 'f32');
  const built = objective.build({
    graph,
    batch,
    length,
    softcap: spec.logitSoftcap,
    labels: leaves.input(LEAF.labels, [batch * length], 'i32'),
    labelled: leaves.input(LEAF.labelled, [batch * length], 'u32'),
    dLoss: gradients ? leaves.input(LEAF.dLoss, [1], 'f32') : undefined,
    input: (name, shape, dtype) => leaves.input(name, shape, dtype),
    trained: () => {
      if (trained) return trained;
      const { context, hidden } = forwardPass(leaves, options);
      if (options.logits) logits = graph.keep(head(context, hidden));
      const table = headTable(context);
      const isTrained = gradients && table.every(({ leaf }) => leaf!.trainable);
      const own = headTokens(context);
      const dRows = gradients && own?.rows.leaf!.trainable ? gradientOf(own.rows) : undefined;
      const tokens = own && { ...own, dRows };
      return (trained = { hidden, table, dTable: isTrained ? table.map(gradientOf) : [], tokens });
    },
    reference: () => {
      const { context, hidden } = referencePass(graph, options, objective);
      return { hidden, table: headTable(context), dTable: [], tokens: headTokens(context) };
    },
  });
  if (gradients) addGradients(graph, built.seeds, gradientOf);
  accumulate(graph, built.loss, total);
  if (built.metrics) accumulate(graph, built.metrics, leaves.input(LEAF.metrics, [objective.metrics.length], 'f32'));
  fuseDropouts(graph);
  keepRepeats(graph);
  fuseBiases(graph);
  return { graph, logits };
}

interface ModelPass {
  readonly context: DecoderContext;
  readonly hidden: Tensor;
}

/** Hidden states after the last norm, of the model that has these leaves, for ids [B·T] in a leaf of that name. */
export function forwardPass(leaves: GraphLeaves, options: PassOptions, ids: string = LEAF.ids): ModelPass {
  const { spec, batch, length } = options;
  const rows = leaves.positions(batch, length, options.packed);
  const attend = (layer: number, q: Tensor, k: Tensor, v: Tensor) =>
    attention(leaves.graph, q, k, v, rows, attentionSizes(spec, layer, { batch, length, keys: length }));
  const context = leaves.decoderContext(length, rows, attend, options.checkpoint, options.checkpointing);
  return { context, hidden: decoder(context, leaves.input(ids, [batch * length], 'u32')) };
}

function referencePass(graph: Graph, options: LossGraphOptions, objective: Objective): ModelPass {
  const leaves = referenceLeaves(graph, options, objective);
  if (objective.reference === 'copy' || !options.prompt) return forwardPass(leaves, options);
  // Without virtual tokens all rows stand earlier: they go where what is trained has them.
  const { context, hidden } = forwardPass(leaves, options, LEAF.plainIds);
  const rows = leaves.input(LEAF.plainRows, [options.batch * options.length], 'u32');
  return { context, hidden: gatherRows(graph, hidden, rows) };
}

function referenceLeaves(graph: Graph, options: LossGraphOptions, { reference }: Objective): GraphLeaves {
  if (reference === 'none') throw new Error('this objective has no reference');
  return reference === 'copy' ? new ReferenceLeaves(graph, options) : new GraphLeaves(graph, withoutAdapter(options));
}
