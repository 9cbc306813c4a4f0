import { elementCount } from '../../core/dtypes';
import type { Graph, Op, Tensor } from '../graph/graph';
import { f32, gridFor, u32, vectors } from '../graph/kernel';
import { lanesModule, placeModule } from './modules';
import { sameShape } from './shape';
import { shader } from '../graph/shaders';

const addShader = shader('pointwise/add');

const addOp: Op<{ scale: number }> = {
  name: 'add',
  outputs([a, b]) {
    sameShape('add', a!, b!);
    return [{ shape: a!.shape, dtype: 'f32' }];
  },
  inPlace: [1],
  kernels({ inputs: [a, b], outputs: [y], attrs }, _, inPlace = false) {
    const count = elementCount(y!.shape);
    return [
      {
        shader: addShader,
        modules: [lanesModule(4), placeModule(inPlace)],
        params: [u32(vectors(count)), f32(attrs.scale)],
        bindings: [inPlace ? undefined : b, a, y],
        workgroups: gridFor(vectors(count)),
        flops: 2 * count,
      },
    ];
  },
  backward({ graph, dOutputs: [dy], attrs, needs }) {
    return [dy, needs(1) ? (attrs.scale === 1 ? dy : scaled(graph, dy!, attrs.scale)) : undefined];
  },
};

/** a + scale · b, element by element; f32 tensors of one shape. */
export function add(graph: Graph, a: Tensor, b: Tensor, scale = 1): Tensor {
  return graph.apply1(addOp, [a, b], { scale });
}

/** scale · x, as x + (scale − 1) · x: exact for the factors in use (−1, 1). */
function scaled(graph: Graph, x: Tensor, scale: number): Tensor {
  return add(graph, x, x, scale - 1);
}
