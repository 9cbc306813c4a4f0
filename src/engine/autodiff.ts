/**
 * Reverse-mode differentiation over the graph (Griewank and Walther, "Evaluating Derivatives"). Nodes are visited
 * last to first; each op's rule emits the nodes of its gradient. A checkpointed segment is emitted again from its
 * inputs just before its rules run, so its intermediate values need not outlive the forward pass.
 */
import { add } from './ops/add';
import type { Graph, Node, Tensor } from './graph';

/**
 * Appends the backward pass. `seeds` maps outputs to their gradients (the loss to dLoss). Returns the gradient of
 * every trainable leaf that the seeds depend on.
 */
export function backward(
  graph: Graph,
  seeds: ReadonlyMap<Tensor, Tensor>,
  wanted?: readonly Tensor[],
): Map<Tensor, Tensor> {
  const forward = [...graph.nodes];
  const differentiable = reachesFrom(forward, wanted ?? graph.allLeaves().filter((tensor) => tensor.leaf!.trainable));
  const gradients = new Map<Tensor, Tensor>(seeds);
  const recomputed = new Map<Tensor, Tensor>();
  const current = (tensor: Tensor) => recomputed.get(tensor) ?? tensor;
  let openSegment: number | undefined;

  for (const node of forward.toReversed()) {
    if (!node.outputs.some((output) => gradients.has(output))) continue;
    if (!node.inputs.some((input) => differentiable.has(input))) continue;
    if (node.segment !== undefined && node.segment !== openSegment) {
      recompute(graph, forward, node.segment, recomputed);
      openSegment = node.segment;
    }
    if (!node.op.backward) throw new Error(`${node.op.name} has no backward rule`);
    const partials = node.inputs.map((input) => gradients.get(input));
    const taken = new Set<number>();
    const results = node.op.backward({
      graph,
      inputs: node.inputs.map(current),
      outputs: node.outputs.map(current),
      attrs: node.attrs,
      dOutputs: node.outputs.map((output) => gradients.get(output)),
      needs: (i) => differentiable.has(node.inputs[i]!),
      takePartial: (i) => {
        // The same tensor may be an input twice; its sum can be folded in once.
        if (node.inputs.indexOf(node.inputs[i]!) !== i || !partials[i]) return undefined;
        taken.add(i);
        return partials[i];
      },
    });
    node.inputs.forEach((input, i) => {
      const result = results[i];
      if (!result || !differentiable.has(input)) return;
      const sum = gradients.get(input);
      gradients.set(input, sum && !taken.has(i) ? add(graph, sum, result) : result);
    });
  }
  return new Map([...gradients].filter(([tensor]) => (wanted ? wanted.includes(tensor) : tensor.leaf?.trainable)));
}

/** Every tensor that depends on one of `sources`, and the sources. */
function reachesFrom(nodes: readonly Node[], sources: readonly Tensor[]): Set<Tensor> {
  const reached = new Set(sources);
  for (const node of nodes) {
    if (node.inputs.some((input) => reached.has(input))) node.outputs.forEach((output) => reached.add(output));
  }
  return reached;
}

/** Emits a segment's nodes again; what is not needed after all, `Graph.liveNodes` drops. */
function recompute(graph: Graph, forward: readonly Node[], segment: number, recomputed: Map<Tensor, Tensor>): void {
  for (const node of forward) {
    if (node.segment !== segment) continue;
    const twin = graph.clone(
      node,
      node.inputs.map((input) => recomputed.get(input) ?? input),
    );
    node.outputs.forEach((output, i) => recomputed.set(output, twin.outputs[i]!));
  }
}
