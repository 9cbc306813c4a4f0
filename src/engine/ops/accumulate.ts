import code from '../../../shaders/accumulate.wgsl?raw';
import { elementCount } from '../../core/dtypes';
import type { Graph, Op, Tensor } from '../graph';
import { gridFor, u32, vectors, type Shader } from '../kernel';
import { sameShape } from './shape';

const shader: Shader = { name: 'accumulate', code };

const accumulateOp: Op = {
  name: 'accumulate',
  writes: [1],
  outputs([x, total]) {
    sameShape('accumulate', x!, total!);
    return [];
  },
  kernels({ inputs }) {
    const count = elementCount(inputs[0]!.shape);
    return [{ shader, params: [u32(count)], bindings: inputs, workgroups: gridFor(vectors(count)), flops: count }];
  },
};

/** total += x, in place; `total` is a persistent leaf. */
export function accumulate(graph: Graph, x: Tensor, total: Tensor): void {
  graph.apply(accumulateOp, [x, total], undefined);
}
