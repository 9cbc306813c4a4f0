import forwardCode from '../../../shaders/swiglu.wgsl?raw';
import backwardCode from '../../../shaders/swiglu_backward.wgsl?raw';
import { elementCount } from '../../core/dtypes';
import type { Graph, Op, Tensor } from '../graph';
import { gridFor, u32, vectors, type Shader } from '../kernel';
import { sameShape } from './shape';

const forwardShader: Shader = { name: 'swiglu', code: forwardCode };
const backwardShader: Shader = { name: 'swiglu_backward', code: backwardCode };

export const swigluOp: Op = {
  name: 'swiglu',
  outputs([gate, up]) {
    sameShape('swiglu', gate!, up!);
    return [{ shape: gate!.shape, dtype: 'f32' }];
  },
  kernels({ inputs, outputs }) {
    const count = elementCount(outputs[0]!.shape);
    return [
      {
        shader: forwardShader,
        params: [u32(vectors(count))],
        bindings: [...inputs, ...outputs],
        workgroups: gridFor(vectors(count)),
        flops: 20 * count,
      },
    ];
  },
  backward: ({ graph, inputs, dOutputs: [dy] }) => graph.apply(swigluBackwardOp, [...inputs, dy!], undefined),
};

export const swigluBackwardOp: Op = {
  name: 'swigluBackward',
  outputs: ([gate]) => [
    { shape: gate!.shape, dtype: 'f32' },
    { shape: gate!.shape, dtype: 'f32' },
  ],
  kernels({ inputs, outputs }) {
    const count = elementCount(outputs[0]!.shape);
    return [
      {
        shader: backwardShader,
        params: [u32(vectors(count))],
        bindings: [...inputs, ...outputs],
        workgroups: gridFor(vectors(count)),
        flops: 30 * count,
      },
    ];
  },
};

/** silu(gate) · up, f32 of one shape (Shazeer 2020, arXiv:2002.05202). */
export function swiglu(graph: Graph, gate: Tensor, up: Tensor): Tensor {
  return graph.apply1(swigluOp, [gate, up], undefined);
}
