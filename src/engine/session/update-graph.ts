/** What an optimiser step computes once its gradients are there. */
import { DYNAMIC_BLOCK } from '../../core/dynamic-map';
import { groupLeaf, type FlatGroup } from '../compile/groups';
import { Graph, type Tensor } from '../graph/graph';
import { LEAF } from '../model/leaves';
import { adamw8bitOp, adamwOp, globalNorm } from '../ops/optimizer';
import type { AdamWOptions, MemoryBytes } from '../types';

/** Clips by the global norm and applies AdamW to every flat group. Returns the norm [1]. */
export function updateGraph(
  groups: readonly FlatGroup[],
  adamw: AdamWOptions,
  maxNorm: number,
): { graph: Graph; norm: Tensor } {
  const graph = new Graph();
  const flat = (name: string, elements: number, kind: keyof MemoryBytes, dtype: 'f32' | 'u32' = 'f32') =>
    graph.leaf(name, { shape: [elements], dtype }, kind);
  const gradients = groups.map((group) => flat(groupLeaf.gradients(group), group.bytes / 4, 'gradients'));
  const norm = graph.keep(globalNorm(graph, gradients));
  const loss = graph.leaf(LEAF.loss, { shape: [1], dtype: 'f32' }, 'workspace');
  const schedule = graph.leaf(LEAF.schedule, { shape: [3], dtype: 'f32' }, 'workspace');
  groups.forEach((group, i) => {
    const elements = group.bytes / 4;
    const parameters = flat(groupLeaf.parameters(group), elements, group.kind);
    const inputs = [gradients[i]!, norm, loss, schedule];
    const { beta1, beta2, epsilon, weightDecay } = adamw;
    const attrs = { beta1, beta2, epsilon, weightDecay: group.decay ? weightDecay : 0, maxNorm };
    if (group.moments === '8bit') {
      const maps = flat(LEAF.dynamicMaps, 512, 'workspace');
      const codes = flat(groupLeaf.codes(group), (2 * elements) / 4, 'optimizer', 'u32');
      const absmax = flat(groupLeaf.absmax(group), (2 * elements) / DYNAMIC_BLOCK, 'optimizer');
      graph.apply(adamw8bitOp, [...inputs, maps, parameters, codes, absmax], attrs);
    } else {
      const expAvg = flat(groupLeaf.expAvg(group), elements, 'optimizer');
      const expAvgSq = flat(groupLeaf.expAvgSq(group), elements, 'optimizer');
      graph.apply(adamwOp, [...inputs, parameters, expAvg, expAvgSq], attrs);
    }
  });
  return { graph, norm };
}
