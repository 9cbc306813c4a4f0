/** What a method computes beside the passes of a model: where its tensors start, and what follows from them. */
import { Graph } from '../graph/graph';
import { methodOf } from '../methods';
import type { Method } from '../methods/method';
import { GraphLeaves, type ModelOptions } from '../model/leaves';
import type { Memory } from '../runtime/memory';

/** Program names. */
export const INITIALIZE = 'initialize';
export const DERIVE = 'derive';

/** Writes to leaves; undefined where the method has nothing to compute. */
function graphOf(options: ModelOptions, build: Method['derive']): Graph | undefined {
  if (!build) return undefined;
  const graph = new Graph();
  build(graph, new GraphLeaves(graph, options));
  return graph;
}

/** What the tensors start from, as far as that takes the weights; its leaves are zero before. */
export const initialGraph = (options: ModelOptions) => graphOf(options, methodOf(options).initialize);

/** What every pass of the model with its adapter reads. */
export const derivedGraph = (options: ModelOptions) => graphOf(options, methodOf(options).derive);

/** Brings what is derived up to date with the trained tensors; it costs nothing where it is. */
export function refreshDerived(
  memory: Memory,
  model: ModelOptions,
  trained: { readonly version: number },
): () => Promise<void> {
  let derivedFrom: number | undefined;
  return async () => {
    if (!methodOf(model).derive || derivedFrom === trained.version) return;
    derivedFrom = trained.version;
    await memory.run(DERIVE);
  };
}
