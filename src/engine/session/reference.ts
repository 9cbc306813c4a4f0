/** A frozen copy of what is trained, as it was when the run began: the reference of some objectives. */
import { groupLeaf, referenceLeaf, type FlatGroup } from '../compile/groups';
import { Graph, type Tensor } from '../graph/graph';
import { GraphLeaves } from '../model/leaves';
import { accumulate } from '../ops/accumulate';

/** The leaves of a pass of the copy: what is trained has its own, the rest is shared. */
export class ReferenceLeaves extends GraphLeaves {
  override table(name: string): Tensor[] {
    return super.table(name).map((part) => this.copyOf(part));
  }

  override adapter(name: string, shape: readonly number[]): Tensor {
    return this.copyOf(super.adapter(name, shape));
  }

  /** What follows from the copy is computed in its pass. */
  override derived(): undefined {
    return undefined;
  }

  private copyOf(tensor: Tensor): Tensor {
    const { name, kind, trainable } = tensor.leaf!;
    return trainable ? this.graph.leaf(referenceLeaf(name), tensor, kind) : tensor;
  }
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
