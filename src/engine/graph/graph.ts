/**
 * The symbolic graph. Model code calls ops; each call appends a node with shapes and dtypes, and nothing touches the
 * GPU. Autodiff appends more nodes, the planner gives every value a slot, and the program replays the nodes.
 */
import type { Kernel, KernelCapabilities } from './kernel';
import type { Tensor, TensorType } from './tensor';
import type { MemoryBytes } from '../types';

export { byteSize, type Leaf, type Tensor, type TensorType } from './tensor';

/** A stretch of the forward pass that the backward pass computes again. Segments nest. */
export interface Segment {
  readonly parent: Segment | undefined;
}

export interface Node<A = unknown> {
  readonly op: Op<A>;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly attrs: A;
  /** The innermost checkpoint segment that the node belongs to. */
  readonly segment: Segment | undefined;
}

/** What a backward rule sees. */
export interface BackwardContext<A> {
  readonly graph: Graph;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly attrs: A;
  /** Gradient of each output; undefined where nothing flows. At least one is defined. */
  readonly dOutputs: readonly (Tensor | undefined)[];
  /** Whether the gradient of this input is wanted. Rules emit no work where it is not. */
  needs(input: number): boolean;
  /**
   * Takes what has been summed so far for this input, so that the rule can fold it into its own kernel; the rule then
   * returns the sum. Not taken, autodiff adds the two itself.
   */
  takePartial(input: number): Tensor | undefined;
  /**
   * Takes the leaf that this input's gradient is added to, where the rule's result is all of it: the rule then adds to
   * the leaf in its own kernel and returns nothing. Not taken, the gradient is a value, which is added afterwards.
   */
  takeTotal(input: number): Tensor | undefined;
}

/**
 * One operation: its shapes, its forward kernels and its backward rule, side by side. `attrs` are plain data that fix
 * the node's meaning (sizes, scale, stream of random numbers).
 */
export interface Op<A = unknown> {
  readonly name: string;
  outputs(inputs: readonly Tensor[], attrs: A): TensorType[];
  /** Outputs from this index on are scratch: live only inside the node. */
  readonly scratchFrom?: number;
  /**
   * The value (the first output) costs so little that the backward pass computes it again from the inputs rather than
   * have it kept.
   */
  readonly cheap?: boolean;
  /** Inputs that the node writes: persistent leaves such as a gradient sum or a KV cache. */
  readonly writes?: readonly number[];
  /**
   * Scratch instead of the outputs from `roomFrom` on, in their slots and those that are free while the node runs, so that
   * the plan does not grow by it: a tensor, or none, for each of those slots, whose bytes `free` has, largest first. The
   * kernels are asked for with them.
   */
  room?(node: Node<A>, free: readonly number[]): readonly (TensorType | undefined)[];
  readonly roomFrom?: number;
  /**
   * By output, the input whose place it may take: kernels that read an element only where they write it. The plan does so
   * where every such input ends here; the kernels are then asked for with `inPlace` and don't bind those inputs, as
   * WebGPU refuses one buffer bound twice.
   */
  readonly inPlace?: readonly number[];
  kernels(node: Node<A>, capabilities: KernelCapabilities, inPlace?: boolean, room?: readonly Tensor[]): Kernel[];
  /** Gradients by input; absent for ops that are never differentiated. */
  backward?(context: BackwardContext<A>): (Tensor | undefined)[];
}

export class Graph {
  readonly nodes: Node[] = [];
  /** Values that a caller reads after the program ran; they are never reused within it. */
  readonly results = new Set<Tensor>();
  private readonly leaves = new Map<string, Tensor>();
  private nextId = 0;
  private segment: Segment | undefined;

  leaf(name: string, type: TensorType, kind: keyof MemoryBytes, trainable = false): Tensor {
    const existing = this.leaves.get(name);
    if (existing) return existing;
    const tensor: Tensor = { ...type, id: this.nextId++, leaf: { name, kind, trainable } };
    this.leaves.set(name, tensor);
    return tensor;
  }

  allLeaves(): Tensor[] {
    return [...this.leaves.values()];
  }

  apply<A>(op: Op<A>, inputs: readonly Tensor[], attrs: A): Tensor[] {
    const outputs = op.outputs(inputs, attrs).map((type): Tensor => ({ ...type, id: this.nextId++ }));
    this.nodes.push({ op, inputs, outputs, attrs, segment: this.segment });
    return outputs;
  }

  /** `apply` for an op whose first output is the value and the rest are saved for the backward pass or scratch. */
  apply1<A>(op: Op<A>, inputs: readonly Tensor[], attrs: A): Tensor {
    return this.apply(op, inputs, attrs)[0]!;
  }

  /**
   * Runs `build` as a checkpoint segment: in the backward pass only what flows into the segment is still there, and
   * the rest is computed again (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"). Segments within it
   * are computed again as part of it, and once more when their own turn comes: of them only the inputs are kept meanwhile.
   */
  checkpoint<T>(build: () => T): T {
    const outer = this.segment;
    this.segment = { parent: outer };
    try {
      return build();
    } finally {
      this.segment = outer;
    }
  }

  /** Appends a node's twin on other inputs, for recomputation. */
  clone(node: Node, inputs: readonly Tensor[]): Node {
    const outputs = node.outputs.map((output): Tensor => ({
      shape: output.shape,
      dtype: output.dtype,
      id: this.nextId++,
    }));
    const twin: Node = { ...node, inputs, outputs, segment: undefined };
    this.nodes.push(twin);
    return twin;
  }

  keep(tensor: Tensor): Tensor {
    this.results.add(tensor);
    return tensor;
  }

  /** These nodes, in their order, instead of those that there are. A step of a long sequence has 100,000, more than a call takes. */
  replaceNodes(nodes: readonly Node[]): void {
    this.nodes.length = 0;
    for (const node of nodes) this.nodes.push(node);
  }

  /** The nodes that a result or a side effect depends on, in order. */
  liveNodes(): Node[] {
    const needed = new Set<Tensor>(this.results);
    const live: Node[] = [];
    for (const node of this.nodes.toReversed()) {
      if (!node.op.writes && !node.outputs.some((output) => needed.has(output))) continue;
      node.inputs.forEach((input) => needed.add(input));
      live.push(node);
    }
    return live.reverse();
  }
}
