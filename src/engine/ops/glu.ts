/** Gated linear units (Shazeer 2020, arXiv:2002.05202): an activated gate times what it gates. */
import forwardCode from '../../../shaders/glu.wgsl?raw';
import backwardCode from '../../../shaders/glu_backward.wgsl?raw';
import inPlaceCode from '../../../shaders/glu_backward_in_place.wgsl?raw';
import geluTanhCode from '../../../shaders/activation/gelu_tanh.wgsl?raw';
import siluCode from '../../../shaders/activation/silu.wgsl?raw';
import { elementCount } from '../../core/dtypes';
import type { Graph, Op, Tensor } from '../graph';
import { gridFor, u32, vectors, type Shader } from '../kernel';
import { sameShape } from './shape';

const forwardShader: Shader = { name: 'glu', code: forwardCode };
const backwardShader: Shader = { name: 'glu_backward', code: backwardCode };
const inPlaceShader: Shader = { name: 'glu_backward_in_place', code: inPlaceCode };

/** `activation` and its slope. */
const SILU: Shader = { name: 'silu', code: siluCode };
const GELU_TANH: Shader = { name: 'gelu_tanh', code: geluTanhCode };

function gatedUnit(name: string, activation: Shader): Op {
  const backwardOp = gatedUnitBackward(`${name}Backward`, activation);
  return {
    name,
    cheap: true,
    outputs([gate, up]) {
      sameShape(name, gate!, up!);
      return [{ shape: gate!.shape, dtype: 'f32' }];
    },
    kernels({ inputs, outputs }) {
      const count = elementCount(outputs[0]!.shape);
      return [
        {
          shader: forwardShader,
          modules: [activation],
          params: [u32(vectors(count))],
          bindings: [...inputs, ...outputs],
          workgroups: gridFor(vectors(count)),
          flops: 20 * count,
        },
      ];
    },
    backward: ({ graph, inputs, dOutputs: [dy] }) => graph.apply(backwardOp, [...inputs, dy!], undefined),
  };
}

function gatedUnitBackward(name: string, activation: Shader): Op {
  return {
    name,
    outputs: ([gate]) => [
      { shape: gate!.shape, dtype: 'f32' },
      { shape: gate!.shape, dtype: 'f32' },
    ],
    inPlace: [0, 1],
    kernels({ inputs: [gate, up, dy], outputs }, _, inPlace = false) {
      const count = elementCount(dy!.shape);
      const kernel = {
        modules: [activation],
        params: [u32(vectors(count))],
        workgroups: gridFor(vectors(count)),
        flops: 30 * count,
      };
      return [
        inPlace
          ? { ...kernel, shader: inPlaceShader, bindings: [...outputs, dy] }
          : { ...kernel, shader: backwardShader, bindings: [gate, up, dy, ...outputs] },
      ];
    },
  };
}

const swigluOp = gatedUnit('swiglu', SILU);
const gegluOp = gatedUnit('geglu', GELU_TANH);

/** silu(gate) · up, f32 of one shape. */
export function swiglu(graph: Graph, gate: Tensor, up: Tensor): Tensor {
  return graph.apply1(swigluOp, [gate, up], undefined);
}

/** gelu(gate) · up with GELU's tanh form, f32 of one shape. */
export function geglu(graph: Graph, gate: Tensor, up: Tensor): Tensor {
  return graph.apply1(gegluOp, [gate, up], undefined);
}
