/** Where a method's tensors start, as far as that takes the weights. */
import { Graph } from '../graph/graph';
import { methodOf } from '../methods';
import { GraphLeaves, type ModelOptions } from '../model/leaves';

/** Adds to zeroed leaves; undefined where there is nothing to compute. */
export function initialGraph(options: ModelOptions): Graph | undefined {
  const { initialize } = methodOf(options);
  if (!initialize) return undefined;
  const graph = new Graph();
  initialize(graph, new GraphLeaves(graph, options));
  return graph;
}
