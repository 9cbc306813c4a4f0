/** A frozen copy of what is trained, as it was when the run began: the reference of some objectives. */
import { groupLeaf, referenceLeaf, type FlatGroup } from '../compile/groups';
import { Graph, type Tensor } from '../graph/graph';
import { methodOf } from '../methods';
import { GraphLeaves, type ModelOptions } from '../model/leaves';
import { accumulate } from '../ops/accumulate';

/** The leaves of a pass of the copy: what is trained has its own, the rest is shared. */
export class ReferenceLeaves extends GraphLeaves {
  override table(name: string): Tensor[] {
    return super.table(name).map((part) => this.copyOf(part));
  }

  override adapter(name: string, shape: readonly number[]): Tensor {
    return this.copyOf(super.adapter(name, shape));
  }

  override derived(name: string, shape: readonly number[]): Tensor {
    return super.derived(referenceLeaf(name), shape);
  }

  private copyOf(tensor: Tensor): Tensor {
    const { name, kind, trainable } = tensor.leaf!;
    return trainable ? this.graph.leaf(referenceLeaf(name), tensor, kind) : tensor;
  }
}

/** Program names. */
export const COPY = 'reference';
export const DERIVE_COPY = 'derive-reference';

/** What follows from the copy: it changes only with it, and no pass computes it. */
export function derivedCopyGraph(options: ModelOptions): Graph | undefined {
  const { derive } = methodOf(options);
  if (!derive) return undefined;
  const graph = new Graph();
  derive(graph, new ReferenceLeaves(graph, options));
  return graph;
}

/** Adds what is trained to zeroed buffers of the copy. */
export function copyGraph(groups: readonly FlatGroup[]): Graph {
  const graph = new Graph();
  for (const group of groups) {
    const type = { shape: [group.bytes / 4], dtype: 'f32' } as const;
    const flat = (name: string) => graph.leaf(name, type, group.kind);
    accumulate(graph, flat(groupLeaf.parameters(group)), flat(groupLeaf.reference(group)));
  }
  return graph;
}
