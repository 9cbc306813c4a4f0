/** What a micro-batch and an evaluation compute. */
import { eachGradient } from '../graph/autodiff';
import { Graph, type Tensor } from '../graph/graph';
import { gradientLeaf } from '../compile/groups';
import { decoder, head, headTable } from '../model/decoder';
import { attentionSizes, GraphLeaves, LEAF, type ModelOptions } from '../model/leaves';
import { accumulate } from '../ops/accumulate';
import { attention } from '../ops/attention';
import { headLoss, headLossGradients } from '../ops/head_loss';
import type { Checkpointing } from '../types';

/** The leaf of the summed loss, [1], to read it by. */
export const LOSS: Tensor = {
  id: -1,
  shape: [1],
  dtype: 'f32',
  leaf: { name: LEAF.loss, kind: 'workspace', trainable: false },
};

export interface LossGraphOptions extends ModelOptions {
  readonly batch: number;
  readonly length: number;
  /** Whether a sequence may hold several documents; absent, it holds one. */
  readonly packed?: boolean;
  /** `loss` alone, or with the gradients added to their leaves. */
  readonly gradients: boolean;
  readonly dropout: boolean;
  readonly checkpoint: boolean;
  readonly checkpointing?: Checkpointing | undefined;
  /** Keep the logits too, [B·T, V], which training never has as a whole. */
  readonly logits?: boolean;
}

/** Adds the summed loss of a batch to the loss leaf and, if asked, its gradients to theirs. */
export function lossGraph(options: LossGraphOptions): { graph: Graph; logits: Tensor | undefined } {
  const { spec, batch, length } = options;
  const graph = new Graph();
  const seed = options.dropout ? graph.leaf(LEAF.dropoutSeed, { shape: [1], dtype: 'u32' }, 'workspace') : undefined;
  const leaves = new GraphLeaves(graph, options, seed);
  const rows = leaves.positions(batch, length, options.packed);
  const attend = (layer: number, q: Tensor, k: Tensor, v: Tensor) =>
    attention(graph, q, k, v, rows, attentionSizes(spec, layer, { batch, length, keys: length }));
  const context = leaves.decoderContext(length, rows, attend, options.checkpoint, options.checkpointing);
  const hidden = decoder(context, leaves.input(LEAF.ids, [batch * length], 'u32'));
  const logits = options.logits ? graph.keep(head(context, hidden)) : undefined;
  const labels = leaves.input(LEAF.labels, [batch * length], 'i32');
  const targets = { labels, rows: leaves.input(LEAF.labelled, [batch * length], 'u32') };
  const total = leaves.input(LEAF.loss, [1], 'f32');
  const table = headTable(context);
  const cap = { softcap: spec.logitSoftcap };
  if (!options.gradients) {
    accumulate(graph, headLoss(graph, hidden, table, targets, cap), total);
    return { graph, logits };
  }
  const gradientOf = ({ leaf, shape }: Tensor) =>
    graph.leaf(gradientLeaf(leaf!.name), { shape, dtype: 'f32' }, 'gradients');
  const dTable = options.trainable === 'all' ? table.map(gradientOf) : [];
  const dLoss = leaves.input(LEAF.dLoss, [1], 'f32');
  const { loss, dHidden } = headLossGradients(graph, hidden, table, targets, dLoss, dTable, cap);
  for (const [parameter, gradient] of eachGradient(graph, new Map([[hidden, dHidden]]))) {
    accumulate(graph, gradient, gradientOf(parameter));
  }
  accumulate(graph, loss, total);
  return { graph, logits };
}
