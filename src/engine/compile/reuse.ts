/**
 * Cheap values that the backward pass computes again although the same value was just there, as at the end of a recomputed
 * segment: they are kept instead where the time in between is short and has room for them below the most that the program
 * holds at once.
 */
import type { Graph, Node, Tensor } from '../graph/graph';
import { byteSize } from '../graph/tensor';
import { programLifetimes, slotBytes } from './plan';

/**
 * Nodes over which a value is kept at most. A longer wait may have room in the sum of bytes and still need a slot of its
 * own, as slots are whole buffers that other values were to share; shorter ones are tried where that happens.
 */
const WAITS = [8, 4, 2];

/**
 * Takes such repeats out of the graph: who read them reads the earlier value. No value changes, and slots get no more bytes.
 */
export function keepRepeats(graph: Graph): void {
  const nodes = graph.liveNodes();
  const earlier = earlierTwins(nodes);
  if (earlier.size === 0) return;
  const bytes = slotBytes(graph, nodes);
  for (const wait of WAITS) {
    const remaining = withoutRepeats(graph, nodes, earlier, wait);
    if (slotBytes(graph, remaining) > bytes) continue;
    graph.replaceNodes(remaining);
    return;
  }
}

/** The nodes without repeats that come within so many nodes. */
function withoutRepeats(graph: Graph, nodes: readonly Node[], earlier: Map<Node, Node>, wait: number): Node[] {
  const room = new Room(graph, nodes, wait);
  const kept = new Map<Tensor, Tensor>();
  const resolve = (tensor: Tensor): Tensor => {
    const other = kept.get(tensor);
    return other ? resolve(other) : tensor;
  };
  const removed = new Set<Node>();
  const readers = readersOf(nodes);
  for (const node of nodes.toReversed()) {
    const twin = earlier.get(node);
    if (!twin || node.outputs.some((output) => graph.results.has(output))) continue;
    // What was read by repeats alone that are gone, is gone with them.
    const idle = node.outputs.every((output) => (readers.get(output) ?? []).every((reader) => removed.has(reader)));
    if (!idle && !room.take(twin, node)) continue;
    removed.add(node);
    if (idle) continue;
    node.outputs.forEach((output, k) => {
      const other = twin.outputs[k]!;
      kept.set(output, other);
      readers.set(other, [...(readers.get(other) ?? []), ...(readers.get(output) ?? [])]);
    });
  }
  return nodes
    .filter((node) => !removed.has(node))
    .map((node) =>
      node.inputs.some((input) => kept.has(input)) ? { ...node, inputs: node.inputs.map(resolve) } : node,
    );
}

/** Of every cheap node that computes what one before it did, the last such one. */
function earlierTwins(nodes: readonly Node[]): Map<Node, Node> {
  const same = new Map<Tensor, Tensor>();
  const lastByKey = new Map<Node['op'], Map<string, Node>>();
  const earlier = new Map<Node, Node>();
  for (const node of nodes) {
    if (!node.op.cheap) continue;
    const inputs = node.inputs.map((input) => (same.get(input) ?? input).id);
    const key = JSON.stringify([inputs, node.attrs]);
    const ofOp = lastByKey.get(node.op) ?? new Map<string, Node>();
    lastByKey.set(node.op, ofOp);
    const twin = ofOp.get(key);
    ofOp.set(key, node);
    if (!twin) continue;
    earlier.set(node, twin);
    node.outputs.forEach((output, k) => same.set(output, same.get(twin.outputs[k]!) ?? twin.outputs[k]!));
  }
  return earlier;
}

function readersOf(nodes: readonly Node[]): Map<Tensor, Node[]> {
  const readers = new Map<Tensor, Node[]>();
  for (const node of nodes) {
    for (const input of node.inputs) {
      const known = readers.get(input);
      if (known) known.push(node);
      else readers.set(input, [node]);
    }
  }
  return readers;
}

/** Bytes that are held at each time of a program, and what may be kept longer without more at the fullest. */
class Room {
  private readonly held: Float64Array;
  private readonly most: number;
  private readonly time: Map<Node, number>;
  private readonly lastUse = new Map<Tensor, number>();
  /** Values whose last reader writes its result in their place. */
  private readonly takenOver = new Set<Tensor>();

  constructor(
    graph: Graph,
    nodes: readonly Node[],
    private readonly wait: number,
  ) {
    this.held = new Float64Array(nodes.length + 1);
    this.time = new Map(nodes.map((node, i) => [node, i]));
    nodes.forEach((node, i) => [...node.outputs, ...node.inputs].forEach((tensor) => this.lastUse.set(tensor, i)));
    for (const { bytes, start, end, tensors } of programLifetimes(graph, nodes, 0).lifetimes) {
      for (let t = start; t <= end; t++) this.held[t]! += bytes;
      tensors.slice(0, -1).forEach((tensor) => this.takenOver.add(tensor));
    }
    this.most = this.held.reduce((most, bytes) => Math.max(most, bytes), 0);
  }

  /** Keeps the outputs of `twin` until those of `repeat` were read for the last time, where there is room. */
  take(twin: Node, repeat: Node): boolean {
    const until = this.time.get(repeat)!;
    const longer = twin.outputs.map((output) => ({
      bytes: byteSize(output),
      from: this.lastUse.get(output)! + (this.takenOver.has(output) ? 0 : 1),
    }));
    const first = Math.min(...longer.map(({ from }) => from));
    if (until - first > this.wait) return false;
    for (let t = first; t < until; t++) {
      const more = longer.reduce((sum, { bytes, from }) => sum + (from <= t ? bytes : 0), 0);
      if (this.held[t]! + more > this.most) return false;
    }
    for (const { bytes, from } of longer) for (let t = from; t < until; t++) this.held[t]! += bytes;
    twin.outputs.forEach((output, k) => {
      const other = repeat.outputs[k]!;
      this.lastUse.set(output, Math.max(this.lastUse.get(output)!, this.lastUse.get(other)!));
      if (this.takenOver.has(other)) this.takenOver.add(output);
      else this.takenOver.delete(output);
    });
    return true;
  }
}
