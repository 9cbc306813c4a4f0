import forwardCode from '../../../shaders/swiglu.wgsl?raw';
import backwardCode from '../../../shaders/swiglu_backward.wgsl?raw';
import inPlaceCode from '../../../shaders/swiglu_backward_in_place.wgsl?raw';
import { elementCount } from '../../core/dtypes';
import type { Graph, Op, Tensor } from '../graph';
import { gridFor, u32, vectors, type Shader } from '../kernel';
import { sameShape } from './shape';

const forwardShader: Shader = { name: 'swiglu', code: forwardCode };
const backwardShader: Shader = { name: 'swiglu_backward', code: backwardCode };
const inPlaceShader: Shader = { name: 'swiglu_backward_in_place', code: inPlaceCode };

export const swigluOp: Op = {
  name: 'swiglu',
  cheap: true,
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
  inPlace: [0, 1],
  kernels({ inputs: [gate, up, dy], outputs }, _, inPlace = false) {
    const count = elementCount(dy!.shape);
    const kernel = { params: [u32(vectors(count))], workgroups: gridFor(vectors(count)), flops: 30 * count };
    return [
      inPlace
        ? { ...kernel, shader: inPlaceShader, bindings: [...outputs, dy] }
        : { ...kernel, shader: backwardShader, bindings: [gate, up, dy, ...outputs] },
    ];
  },
};

/** silu(gate) · up, f32 of one shape (Shazeer 2020, arXiv:2002.05202). */
export function swiglu(graph: Graph, gate: Tensor, up: Tensor): Tensor {
  return graph.apply1(swigluOp, [gate, up], undefined);
}
