import forwardCode from '../../../shaders/rms_norm.wgsl?raw';
import dxCode from '../../../shaders/rms_norm_dx.wgsl?raw';
import dweightCode from '../../../shaders/rms_norm_dweight.wgsl?raw';
import type { Graph, Op, Tensor } from '../graph';
import { f32, grid, gridFor, u32, type Shader } from '../kernel';
import { epilogueModule, reduceModule } from './modules';
import { expectShape, matrix } from './shape';

const forwardShader: Shader = { name: 'rms_norm', code: forwardCode };
const dxShader: Shader = { name: 'rms_norm_dx', code: dxCode };
const dweightShader: Shader = { name: 'rms_norm_dweight', code: dweightCode };

export const rmsNormOp: Op<{ eps: number }> = {
  name: 'rmsNorm',
  cheap: true,
  outputs([x, weight]) {
    const [rows, channels] = matrix('rmsNorm', x!);
    expectShape('rmsNorm weight', weight!, [channels]);
    return [
      { shape: [rows, channels], dtype: 'f32' },
      { shape: [rows], dtype: 'f32' },
    ];
  },
  kernels({ inputs, outputs, attrs }, capabilities) {
    const [rows, channels] = matrix('rmsNorm', inputs[0]!);
    return [
      {
        shader: forwardShader,
        modules: [reduceModule(capabilities)],
        params: [u32(rows), u32(channels), f32(attrs.eps)],
        bindings: [...inputs, ...outputs],
        workgroups: grid(rows),
        flops: 4 * rows * channels,
      },
    ];
  },
  backward({ graph, inputs: [x, weight], outputs: [, rstd], dOutputs: [dy], needs, takePartial }) {
    const addend = needs(0) ? takePartial(0) : undefined;
    const inputs = [x!, weight!, rstd!, dy!, ...(addend ? [addend] : [])];
    return [
      needs(0) ? graph.apply1(rmsNormDxOp, inputs, undefined) : undefined,
      needs(1) ? graph.apply1(rmsNormDweightOp, [x!, rstd!, dy!], undefined) : undefined,
    ];
  },
};

/** Inputs x, weight, rstd, dy and an optional addend of x's shape. */
export const rmsNormDxOp: Op = {
  name: 'rmsNormDx',
  outputs: ([x]) => [{ shape: x!.shape, dtype: 'f32' }],
  kernels({ inputs: [x, weight, rstd, dy, addend], outputs: [dx] }, capabilities) {
    const [rows, channels] = matrix('rmsNormDx', x!);
    return [
      {
        shader: dxShader,
        modules: [reduceModule(capabilities), epilogueModule(addend)],
        params: [u32(rows), u32(channels)],
        bindings: [x!, weight!, dx!, addend, rstd!, dy!],
        workgroups: grid(rows),
        flops: 8 * rows * channels,
      },
    ];
  },
};

export const rmsNormDweightOp: Op = {
  name: 'rmsNormDweight',
  outputs: ([x]) => [{ shape: [x!.shape[1]!], dtype: 'f32' }],
  kernels({ inputs, outputs }) {
    const [rows, channels] = matrix('rmsNormDweight', inputs[0]!);
    return [
      {
        shader: dweightShader,
        params: [u32(rows), u32(channels)],
        bindings: [...inputs, ...outputs],
        workgroups: gridFor(channels),
        flops: 3 * rows * channels,
      },
    ];
  },
};

/** Root-mean-square norm of x[N, C] with weight[C], both f32. */
export function rmsNorm(graph: Graph, x: Tensor, weight: Tensor, eps: number): Tensor {
  return graph.apply1(rmsNormOp, [x, weight], { eps });
}
