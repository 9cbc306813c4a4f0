import { elementCount } from '../../core/dtypes';
import type { Graph, Op, Tensor } from '../graph/graph';
import { gridFor, u32, vectors } from '../graph/kernel';
import { sameShape } from './shape';
import { shader } from '../graph/shaders';

const accumulateShader = shader('pointwise/accumulate');

const accumulateOp: Op = {
  name: 'accumulate',
  writes: [1],
  outputs([x, total]) {
    sameShape('accumulate', x!, total!);
    return [];
  },
  kernels({ inputs }) {
    const count = elementCount(inputs[0]!.shape);
    return [
      {
        shader: accumulateShader,
        params: [u32(count)],
        bindings: inputs,
        workgroups: gridFor(vectors(count)),
        flops: count,
      },
    ];
  },
};

/** total += x, in place; `total` is a persistent leaf. */
export function accumulate(graph: Graph, x: Tensor, total: Tensor): void {
  graph.apply(accumulateOp, [x, total], undefined);
}
