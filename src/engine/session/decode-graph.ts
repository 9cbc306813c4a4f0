/** What a prefill and a decoding step compute. */
import { Graph, type Tensor } from '../graph/graph';
import { decoder, head } from '../model/decoder';
import { attentionSizes, GraphLeaves, LEAF, type ModelOptions } from '../model/leaves';
import { attention } from '../ops/attention';
import { gatherRows, kvAppend } from '../ops/cache';

export interface DecodeGraphOptions extends ModelOptions {
  readonly batch: number;
  /** Tokens a sequence: the padded prompt, or 1. */
  readonly length: number;
  /** Positions of the cache. */
  readonly capacity: number;
}

/** Appends tokens to the KV cache and returns the logits of one row of each sequence, [B, V]. */
export function decodeGraph(options: DecodeGraphOptions): { graph: Graph; logits: Tensor } {
  const { spec, batch, length, capacity } = options;
  const graph = new Graph();
  const leaves = new GraphLeaves(graph, options);
  const rows = leaves.positions(batch, length);
  const cache = [batch, capacity, spec.numKeyValueHeads * spec.headDim];
  const attend = (layer: number, q: Tensor, k: Tensor, v: Tensor) => {
    const keys = leaves.input(`cache:${layer}:keys`, cache, 'f32');
    const values = leaves.input(`cache:${layer}:values`, cache, 'f32');
    kvAppend(graph, k, rows.start, keys, length);
    kvAppend(graph, v, rows.start, values, length);
    return attention(graph, q, keys, values, rows, attentionSizes(spec, layer, { batch, length, keys: capacity }));
  };
  const context = leaves.decoderContext(length, rows, attend, false);
  const hidden = decoder(context, leaves.input(LEAF.ids, [batch * length], 'u32'));
  const last = gatherRows(graph, hidden, leaves.input(LEAF.lastRows, [batch], 'u32'));
  const logits = graph.keep(head(context, last));
  return { graph, logits };
}
