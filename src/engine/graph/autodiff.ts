/**
 * Reverse-mode differentiation over the graph (Griewank and Walther, "Evaluating Derivatives"). Nodes are visited
 * last to first; each op's rule emits the nodes of its gradient. A checkpointed segment is emitted again from its
 * inputs just before its rules run, so its intermediate values need not outlive the forward pass.
 */
import { accumulate } from '../ops/accumulate';
import { add } from '../ops/add';
import type { Graph, Node, Segment, Tensor } from './graph';

/**
 * Appends the backward pass. `seeds` maps outputs to their gradients (the loss to dLoss). Returns the gradient of
 * every trainable leaf, or of what is `wanted`, that the seeds depend on.
 */
export function backward(
  graph: Graph,
  seeds: ReadonlyMap<Tensor, Tensor>,
  wanted: readonly Tensor[] = trainableLeaves(graph),
): Map<Tensor, Tensor> {
  const pass = new BackwardPass(graph, seeds, wanted);
  for (const node of pass.forward.toReversed()) pass.differentiate(node);
  return new Map(
    wanted.flatMap((tensor) => {
      const gradient = pass.gradients.get(tensor);
      return gradient ? [[tensor, gradient]] : [];
    }),
  );
}

/**
 * Appends the backward pass and adds the gradient of every trainable leaf to its total (f32, the leaf's shape), in the
 * kernel that computes it where that gives all of it, else as soon as it is whole: it is kept no longer than that.
 */
export function addGradients(
  graph: Graph,
  seeds: ReadonlyMap<Tensor, Tensor>,
  totalOf: (parameter: Tensor) => Tensor,
): void {
  const wanted = trainableLeaves(graph);
  const pass = new BackwardPass(graph, seeds, wanted, totalOf);
  for (const node of pass.forward.toReversed()) {
    for (const tensor of pass.differentiate(node)) {
      const gradient = pass.gradients.get(tensor);
      if (gradient) accumulate(graph, gradient, totalOf(tensor));
    }
  }
}

function trainableLeaves(graph: Graph): Tensor[] {
  return graph.allLeaves().filter((tensor) => tensor.leaf!.trainable);
}

class BackwardPass {
  readonly forward: readonly Node[];
  /** What has been summed so far; nothing where a rule added its result to a total. */
  readonly gradients: Map<Tensor, Tensor>;
  private readonly differentiable: Set<Tensor>;
  private readonly wholeAfter: Map<Node, Tensor[]>;
  private readonly recomputation: Recomputation;

  constructor(
    private readonly graph: Graph,
    seeds: ReadonlyMap<Tensor, Tensor>,
    wanted: readonly Tensor[],
    private readonly totalOf?: (parameter: Tensor) => Tensor,
  ) {
    this.forward = [...graph.nodes];
    this.gradients = new Map(seeds);
    this.differentiable = reachesFrom(this.forward, wanted);
    this.wholeAfter = firstUses(this.forward, wanted);
    this.recomputation = new Recomputation(graph, this.forward);
  }

  /** Emits a node's gradient. Returns the wanted tensors whose gradients are whole now. */
  differentiate(node: Node): readonly Tensor[] {
    const whole = this.wholeAfter.get(node) ?? [];
    if (this.needsRule(node)) this.applyRule(node, whole);
    return whole;
  }

  private needsRule({ inputs, outputs }: Node): boolean {
    return (
      outputs.some((output) => this.gradients.has(output)) && inputs.some((input) => this.differentiable.has(input))
    );
  }

  private applyRule(node: Node, whole: readonly Tensor[]): void {
    const { graph, gradients, differentiable, recomputation } = this;
    if (!node.op.backward) throw new Error(`${node.op.name} has no backward rule`);
    recomputation.open(node.segment);
    const partials = node.inputs.map((input) => gradients.get(input));
    const taken = new Set<number>();
    const value = (tensor: Tensor) => recomputation.value(tensor);
    const results = node.op.backward({
      graph,
      inputs: node.inputs.map(value),
      outputs: node.outputs.map(value),
      attrs: node.attrs,
      dOutputs: node.outputs.map((output) => gradients.get(output)),
      needs: (i) => differentiable.has(node.inputs[i]!),
      takePartial: (i) => {
        // The same tensor may be an input twice; its sum can be folded in once.
        if (node.inputs.indexOf(node.inputs[i]!) !== i || !partials[i]) return undefined;
        taken.add(i);
        return partials[i];
      },
      takeTotal: (i) => {
        const input = node.inputs[i]!;
        const once = node.inputs.indexOf(input) === node.inputs.lastIndexOf(input);
        return once && !partials[i] && whole.includes(input) ? this.totalOf?.(input) : undefined;
      },
    });
    node.inputs.forEach((input, i) => {
      const result = results[i];
      if (!result || !differentiable.has(input)) return;
      const sum = gradients.get(input);
      gradients.set(input, sum && !taken.has(i) ? add(graph, sum, result) : result);
    });
  }
}

/** The wanted tensors by the first node that reads them: the last one that adds to their gradients. */
function firstUses(nodes: readonly Node[], wanted: readonly Tensor[]): Map<Node, Tensor[]> {
  const left = new Set(wanted);
  const uses = new Map<Node, Tensor[]>();
  for (const node of nodes) {
    const first = node.inputs.filter((input) => left.delete(input));
    if (first.length > 0) uses.set(node, first);
  }
  return uses;
}

/** Every tensor that depends on one of `sources`, and the sources. */
function reachesFrom(nodes: readonly Node[], sources: readonly Tensor[]): Set<Tensor> {
  const reached = new Set(sources);
  for (const node of nodes) {
    if (node.inputs.some((input) => reached.has(input))) node.outputs.forEach((output) => reached.add(output));
  }
  return reached;
}

/** Forward values as the backward pass gets at them: kept, or computed again. */
class Recomputation {
  private readonly members = new Map<Segment, Node[]>();
  private readonly opened = new Set<Segment>();
  /** What stands for a forward value in the segments opened last. */
  private readonly twins = new Map<Tensor, Tensor>();
  private readonly cheap = new Map<Tensor, Node>();
  /** Cheap values, computed again where a rule first asks for them: in between they need not be kept. */
  private readonly late = new Map<Tensor, Tensor>();

  constructor(
    private readonly graph: Graph,
    forward: readonly Node[],
  ) {
    for (const node of forward) {
      // Further outputs are what the op saves for its backward rule; they are small.
      if (node.op.cheap) this.cheap.set(node.outputs[0]!, node);
      for (let { segment } = node; segment; segment = segment.parent) {
        if (!this.members.has(segment)) this.members.set(segment, []);
        this.members.get(segment)!.push(node);
      }
    }
  }

  /**
   * Emits the segment's nodes again, those of the segments around it first; what is not needed after all,
   * `Graph.liveNodes` drops. Nodes are visited last to first, so a segment that was left is never opened again.
   */
  open(segment: Segment | undefined): void {
    if (!segment || this.opened.has(segment)) return;
    this.open(segment.parent);
    this.opened.add(segment);
    for (const node of this.members.get(segment)!) {
      const inputs = node.inputs.map((input) => this.twins.get(input) ?? input);
      this.graph.clone(node, inputs).outputs.forEach((twin, i) => this.twins.set(node.outputs[i]!, twin));
    }
  }

  value(tensor: Tensor): Tensor {
    const node = this.cheap.get(tensor);
    if (!node) return this.twins.get(tensor) ?? tensor;
    const known = this.late.get(tensor);
    if (known) return known;
    const inputs = node.inputs.map((input) => this.value(input));
    const [twin] = this.graph.clone(node, inputs).outputs;
    this.late.set(tensor, twin!);
    return twin!;
  }
}
