/** Weighted sums of a whole tensor, and what is scaled by one number that the GPU has. */
import { elementCount } from '../../core/dtypes';
import type { Graph, Op, Tensor } from '../graph/graph';
import { f32, gridFor, u32 } from '../graph/kernel';
import { shader } from '../graph/shaders';
import { reduceModule } from './modules';
import { expectShape, sameShape } from './shape';

const dotShader = shader('sums/dot');
const scaleShader = shader('pointwise/scale_by');

const dotOp: Op<{ readonly alpha: number }> = {
  name: 'dot',
  outputs([a, b]) {
    sameShape('dot', a!, b!);
    return [{ shape: [1], dtype: 'f32' }];
  },
  kernels({ inputs, outputs, attrs: { alpha } }, capabilities) {
    const count = elementCount(inputs[0]!.shape);
    return [
      {
        shader: dotShader,
        modules: [reduceModule(capabilities)],
        params: [u32(count), f32(alpha)],
        bindings: [...inputs, ...outputs],
        workgroups: [1, 1, 1],
        flops: 2 * count,
      },
    ];
  },
  backward({ graph, inputs: [a, b], attrs: { alpha }, dOutputs: [dy], needs }) {
    return [
      needs(0) ? scaleBy(graph, b!, dy!, alpha) : undefined,
      needs(1) ? scaleBy(graph, a!, dy!, alpha) : undefined,
    ];
  },
};

/** alpha · sum of a · b over all elements: f32 [1]. */
export function dot(graph: Graph, a: Tensor, b: Tensor, alpha = 1): Tensor {
  return graph.apply1(dotOp, [a, b], { alpha });
}

const scaleByOp: Op<{ readonly alpha: number }> = {
  name: 'scaleBy',
  outputs([x, scale]) {
    expectShape('scaleBy scale', scale!, [1]);
    return [{ shape: x!.shape, dtype: 'f32' }];
  },
  kernels({ inputs, outputs, attrs: { alpha } }) {
    const count = elementCount(outputs[0]!.shape);
    return [
      {
        shader: scaleShader,
        params: [u32(count), f32(alpha)],
        bindings: [...inputs, ...outputs],
        workgroups: gridFor(count),
        flops: 2 * count,
      },
    ];
  },
};

/** alpha · scale · x for a scale of f32 [1]; for backward rules, which are not differentiated themselves. */
export function scaleBy(graph: Graph, x: Tensor, scale: Tensor, alpha = 1): Tensor {
  return graph.apply1(scaleByOp, [x, scale], { alpha });
}
