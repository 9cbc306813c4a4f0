/** Dropouts whose readers are products, which draw them as they load: a pass over the whole of it, and its bytes, less. */
import type { Graph, Node, Tensor } from '../graph/graph';
import { dropoutOp, type DropoutAttrs } from '../ops/dropout';
import { droppedMatmulOp, droppedMatmulSumOp, type DroppedMatmulAttrs } from '../ops/matmul_dropped';
import { matmulOp, matmulSumOp } from '../ops/matmul';
import { isMatvec } from '../ops/matmul_candidates';
import { extents, type MatmulAttrs } from '../ops/matmul_product';
import { slotBytes } from './plan';

/** A product reads an operand once for so many rows or columns of the other, and each time it is drawn anew. */
const MOST_ACROSS = 128;

/**
 * Puts each such dropout into its readers, where slots get no more bytes by it: what is dropped may have to wait for longer.
 * Run it on a finished graph; no bit changes.
 */
export function fuseDropouts(graph: Graph): void {
  const nodes = graph.liveNodes();
  const makers = new Map<Tensor, Node<DropoutAttrs>>();
  for (const node of nodes) if (isPlainDropout(node)) makers.set(node.outputs[0]!, node);
  for (const node of nodes) {
    const dropped = node.inputs.filter((input) => makers.has(input));
    for (const input of dropped)
      if (dropped.length > 1 || droppedOperand(node, input) === undefined) makers.delete(input);
  }
  for (const tensor of makers.keys()) if (graph.results.has(tensor)) makers.delete(tensor);
  // What is written in place may be another value by the time that it is read.
  const written = new Set(nodes.flatMap(({ op, inputs }) => (op.writes ?? []).map((place) => inputs[place]!)));
  for (const [tensor, { inputs }] of makers) if (written.has(inputs[0]!)) makers.delete(tensor);
  if (makers.size === 0) return;
  const gone = new Set<Node>(makers.values());
  const remaining = nodes.filter((node) => !gone.has(node)).map((node) => withDropout(node, makers));
  if (slotBytes(graph, remaining) <= slotBytes(graph, nodes)) graph.replaceNodes(remaining);
}

function isPlainDropout(node: Node): node is Node<DropoutAttrs> {
  return node.op === dropoutOp && node.inputs.length === 2;
}

/** Which operand of a product that draws it as well as not a tensor is; undefined for what else reads it. */
function droppedOperand({ op, inputs, attrs }: Node, tensor: Tensor): 0 | 1 | undefined {
  if (op !== matmulOp && op !== matmulSumOp) return undefined;
  const places = inputs.flatMap((input, i) => (input === tensor ? [i] : []));
  const [operand] = places;
  if (places.length !== 1 || (operand !== 0 && operand !== 1)) return undefined;
  const { m, n } = extents(inputs, attrs as MatmulAttrs);
  if (isMatvec(m, attrs as MatmulAttrs)) return undefined;
  return (operand === 0 ? n : m) <= MOST_ACROSS ? operand : undefined;
}

function withDropout(node: Node, makers: ReadonlyMap<Tensor, Node<DropoutAttrs>>): Node {
  const tensor = node.inputs.find((input) => makers.has(input));
  if (!tensor) return node;
  const operand = droppedOperand(node, tensor)!;
  const { inputs, attrs } = makers.get(tensor)!;
  const [x, seed] = inputs as [Tensor, Tensor];
  const dropped: DroppedMatmulAttrs = { ...(node.attrs as MatmulAttrs), dropped: { ...attrs, operand } };
  return {
    ...node,
    op: node.op === matmulOp ? droppedMatmulOp : droppedMatmulSumOp,
    inputs: [...node.inputs.map((input) => (input === tensor ? x : input)), seed],
    attrs: dropped,
  };
}
