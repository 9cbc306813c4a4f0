/** Biases that follow a product, whose kernel adds them as it stores its result: a pass over the whole of it less. */
import type { Graph, Node, Tensor } from '../graph/graph';
import { addBiasOp } from '../ops/bias';
import { biasedMatmulOp, matmulOp } from '../ops/matmul';

/** Makes one node of each product and the bias that alone reads it. Run it on a finished graph; no bit changes. */
export function fuseBiases(graph: Graph): void {
  const nodes = graph.liveNodes();
  const readers = new Map<Tensor, number>();
  const makers = new Map<Tensor, Node>();
  for (const node of nodes) {
    for (const input of node.inputs) readers.set(input, (readers.get(input) ?? 0) + 1);
    for (const output of node.outputs) makers.set(output, node);
  }
  const gone = new Set<Node>();
  const fused = new Map<Node, Node>();
  for (const node of nodes) {
    if (node.op !== addBiasOp) continue;
    const [product, bias] = node.inputs as [Tensor, Tensor];
    const maker = makers.get(product);
    if (maker?.op !== matmulOp || readers.get(product) !== 1 || graph.results.has(product)) continue;
    gone.add(maker);
    fused.set(node, {
      ...node,
      op: biasedMatmulOp,
      inputs: [...maker.inputs, bias],
      attrs: maker.attrs,
    });
  }
  if (fused.size === 0) return;
  const remaining = nodes.filter((node) => !gone.has(node)).map((node) => fused.get(node) ?? node);
  graph.replaceNodes(remaining);
}
