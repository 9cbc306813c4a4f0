/** Gated linear units (Shazeer 2020, arXiv:2002.05202): an activated gate times what it gates. */
import { elementCount } from '../../core/dtypes';
import type { Graph, Op, Tensor } from '../graph/graph';
import { gridFor, u32, vectors, type Shader } from '../graph/kernel';
import { lanesModule, pairModule, placeModule } from './modules';
import { matrix, sameShape } from './shape';
import { shader } from '../graph/shaders';

const forwardShader = shader('glu/forward');
const backwardShader = shader('glu/backward');
const fusedShader = shader('glu/fused');
const fusedBackwardShader = shader('glu/fused_backward');

export type Activation = 'silu' | 'gelu_tanh';

/** `activation` and its slope, of `Elements`. */
const ACTIVATIONS: Readonly<Record<Activation, Shader>> = {
  silu: shader('activation/silu'),
  gelu_tanh: shader('activation/gelu_tanh'),
};

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
          modules: [lanesModule(4), activation],
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
      return [
        {
          shader: backwardShader,
          modules: [lanesModule(4), activation, pairModule(inPlace)],
          params: [u32(vectors(count))],
          bindings: [...(inPlace ? [undefined, undefined] : [gate, up]), dy, ...outputs],
          workgroups: gridFor(vectors(count)),
          flops: 30 * count,
        },
      ];
    },
  };
}

/** Gate and up side by side in one input. */
function fusedUnit(name: string, activation: Shader): Op {
  const backwardOp = fusedUnitBackward(`${name}Backward`, activation);
  return {
    name,
    cheap: true,
    outputs([x]) {
      const [rows, columns] = matrix(name, x!);
      if (columns % 2 !== 0) throw new Error(`${name}: ${columns} columns are no two halves`);
      return [{ shape: [rows, columns / 2], dtype: 'f32' }];
    },
    kernels: ({ inputs: [x], outputs: [y] }) => [
      { ...halves(y!, activation), shader: fusedShader, bindings: [x, y], flops: 20 * elementCount(y!.shape) },
    ],
    backward: ({ graph, inputs: [x], dOutputs: [dy] }) => [graph.apply1(backwardOp, [x!, dy!], undefined)],
  };
}

function fusedUnitBackward(name: string, activation: Shader): Op {
  return {
    name,
    outputs: ([x]) => [{ shape: x!.shape, dtype: 'f32' }],
    inPlace: [0],
    kernels({ inputs: [x, dy], outputs: [dx] }, _, inPlace = false) {
      const { modules, ...kernel } = halves(dy!, activation);
      return [
        {
          ...kernel,
          shader: fusedBackwardShader,
          modules: [...modules, placeModule(inPlace)],
          bindings: [inPlace ? undefined : x, dy, dx],
          flops: 30 * elementCount(dy!.shape),
        },
      ];
    },
  };
}

/** What kernels over y[N, I] and a tensor with two such halves have in common. */
function halves(y: Tensor, activation: Shader) {
  const [rows, columns] = matrix('glu', y);
  const width = columns % 4 === 0 ? 4 : 1;
  const count = (rows * columns) / width;
  return {
    modules: [lanesModule(width), activation],
    params: [u32(count), u32(columns / width)],
    workgroups: gridFor(count),
  };
}

const OPS: Readonly<Record<Activation, { apart: Op; fused: Op }>> = {
  silu: { apart: gatedUnit('swiglu', ACTIVATIONS.silu), fused: fusedUnit('fusedSwiglu', ACTIVATIONS.silu) },
  gelu_tanh: {
    apart: gatedUnit('geglu', ACTIVATIONS.gelu_tanh),
    fused: fusedUnit('fusedGeglu', ACTIVATIONS.gelu_tanh),
  },
};

/** activation(gate) · up, f32 of one shape. `gelu_tanh` is GELU in its tanh form. */
export function glu(graph: Graph, activation: Activation, gate: Tensor, up: Tensor): Tensor {
  return graph.apply1(OPS[activation].apart, [gate, up], undefined);
}

/** The same with gate and up side by side in x[N, 2·I]: f32 [N, I]. */
export function fusedGlu(graph: Graph, activation: Activation, x: Tensor): Tensor {
  return graph.apply1(OPS[activation].fused, [x], undefined);
}

/** silu(gate) · up. */
export function swiglu(graph: Graph, gate: Tensor, up: Tensor): Tensor {
  return glu(graph, 'silu', gate, up);
}
