/** What goes through the model on its way into a KV cache: the tokens of one prompt, or one token of each sequence. */
import { fuseBiases } from '../compile/bias';
import { Graph, type Tensor } from '../graph/graph';
import { decoder, head } from '../model/decoder';
import { attentionSizes, GraphLeaves, LEAF, type ModelOptions } from '../model/leaves';
import { attention } from '../ops/attention';
import { gatherRows, kvAppend } from '../ops/cache';
import type { Positions } from '../ops/positions';

export interface DecodeGraphOptions extends ModelOptions {
  /** Sequences of the cache. */
  readonly slots: number;
  /** Positions of each. */
  readonly capacity: number;
}

interface DecodeGraph {
  readonly graph: Graph;
  readonly logits: Tensor;
}

/** Appends a token to every sequence of the cache and returns the logits after each, [slots, V]. */
export function stepGraph(options: DecodeGraphOptions): DecodeGraph {
  const { slots } = options;
  const leaves = new GraphLeaves(new Graph(), options);
  return logitsOf(leaves, cachedDecoder(leaves, options, { batch: slots, length: 1 }));
}

/**
 * Appends `length` tokens, padding included, to one sequence and returns the logits after its last token, [1, V]. To this
 * graph the whole cache is one long sequence and every slot a document in it, as in a packed batch. So one program
 * serves all slots.
 */
export function promptGraph(options: DecodeGraphOptions, length: number): DecodeGraph {
  const leaves = new GraphLeaves(new Graph(), options);
  const first = leaves.input(LEAF.first, [length], 'u32');
  const hidden = cachedDecoder(leaves, options, { batch: 1, length, first });
  return logitsOf(leaves, gatherRows(leaves.graph, hidden, leaves.input(LEAF.lastRows, [1], 'u32')));
}

/** Hidden states of rows whose keys and values go into the cache; it is seen as `batch` sequences. */
function cachedDecoder(
  leaves: GraphLeaves,
  { spec, slots, capacity }: DecodeGraphOptions,
  { batch, length, first }: { readonly batch: number; readonly length: number; readonly first?: Tensor },
): Tensor {
  const { graph } = leaves;
  const keys = (slots * capacity) / batch;
  const cache = [batch, keys, spec.numKeyValueHeads * spec.headDim];
  const start = leaves.input(LEAF.cacheStart, [batch], 'u32');
  const rows: Positions = { start, first };
  const range = { start, end: leaves.input(LEAF.cacheEnd, [batch], 'u32') };
  const attend = (layer: number, q: Tensor, k: Tensor, v: Tensor) => {
    const cachedKeys = leaves.input(`cache:${layer}:keys`, cache, 'f32');
    const cachedValues = leaves.input(`cache:${layer}:values`, cache, 'f32');
    kvAppend(graph, k, range, cachedKeys, length);
    kvAppend(graph, v, range, cachedValues, length);
    const sizes = attentionSizes(spec, layer, { batch, length, keys });
    // No row sees more than its own slot, which says how much work there is.
    const window = Math.min(sizes.window ?? capacity, capacity);
    return attention(graph, q, cachedKeys, cachedValues, rows, { ...sizes, window });
  };
  const context = leaves.decoderContext(length, rows, attend, false);
  return decoder(context, leaves.input(LEAF.ids, [batch * length], 'u32'));
}

function logitsOf(leaves: GraphLeaves, hidden: Tensor): DecodeGraph {
  const { graph } = leaves;
  const context = {
    graph,
    spec: leaves.options.spec,
    table: (name: string) => leaves.table(name),
    tokens: (name: string) => leaves.tokens(name),
  };
  const logits = graph.keep(head(context, hidden));
  fuseBiases(graph);
  return { graph, logits };
}
