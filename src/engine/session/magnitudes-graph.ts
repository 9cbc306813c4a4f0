/** Where the magnitudes of DoRA start. */
import { Graph } from '../graph/graph';
import { magnitudeGraph } from '../methods/lora';
import { GraphLeaves, type ModelOptions } from '../model/leaves';
import { accumulate } from '../ops/accumulate';

/** DoRA's initial magnitudes, added to zeroed leaves. */
export function initialMagnitudes(options: ModelOptions): Graph {
  const graph = new Graph();
  const leaves = new GraphLeaves(graph, options);
  magnitudeGraph(
    graph,
    options.spec,
    options.lora!,
    { weight: (name) => leaves.weight(name), adapter: (name, shape) => leaves.adapter(name, shape) },
    (norm, magnitude) => accumulate(graph, norm, magnitude),
  );
  return graph;
}
