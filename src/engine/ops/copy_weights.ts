import { elementCount } from '../../core/dtypes';
import type { Graph, Op, Tensor } from '../graph/graph';
import { gridFor, u32 } from '../graph/kernel';
import { weightBlocks, weightModules } from './modules';
import { shader } from '../graph/shaders';

const copyShader = shader('rows/copy_weights');

/** Elements from `source` on of the one go to `target` and on in the other. */
interface CopiedRange {
  readonly source: number;
  readonly target: number;
  readonly count: number;
}

const copyWeightsOp: Op<CopiedRange> = {
  name: 'copyWeights',
  writes: [1],
  outputs: () => [],
  kernels({ inputs, attrs: { source, target, count } }, capabilities) {
    return [
      {
        shader: copyShader,
        modules: weightModules(inputs[0]!, capabilities),
        params: [u32(count), u32(source), u32(target), weightBlocks(inputs[0]!)],
        bindings: inputs,
        workgroups: gridFor(count),
        flops: count,
      },
    ];
  },
};

/**
 * Writes a parameter, stored in any type and in one leaf or several, into persistent f32 leaves of as many elements
 * together, which may be cut elsewhere.
 */
export function copyWeights(graph: Graph, from: readonly Tensor[], to: readonly Tensor[]): void {
  let origin = 0;
  for (const source of from) {
    let start = 0;
    for (const target of to) {
      const first = Math.max(origin, start);
      const end = Math.min(origin + elementCount(source.shape), start + elementCount(target.shape));
      const range = { source: first - origin, target: first - start, count: end - first };
      if (range.count > 0) graph.apply(copyWeightsOp, [source, target], range);
      start += elementCount(target.shape);
    }
    origin += elementCount(source.shape);
  }
}
