import forwardCode from '../../../shaders/rms_norm.wgsl?raw';
import dxCode from '../../../shaders/rms_norm_dx.wgsl?raw';
import rowsCode from '../../../shaders/rms_norm_rows.wgsl?raw';
import dxRowsCode from '../../../shaders/rms_norm_dx_rows.wgsl?raw';
import dweightCode from '../../../shaders/rms_norm_dweight.wgsl?raw';
import type { Graph, Op, Tensor } from '../graph';
import { f32, grid, gridFor, u32, type Kernel, type KernelCapabilities, type Shader } from '../kernel';
import { epilogueLanesModule, lanesModule, reduceModule } from './modules';
import { expectShape, matrix } from './shape';

const forwardShader: Shader = { name: 'rms_norm', code: forwardCode };
const rowsShader: Shader = { name: 'rms_norm_rows', code: rowsCode };
const dxRowsShader: Shader = { name: 'rms_norm_dx_rows', code: dxRowsCode };
const dxShader: Shader = { name: 'rms_norm_dx', code: dxCode };
const dweightShader: Shader = { name: 'rms_norm_dweight', code: dweightCode };

/** Threads of a workgroup where a thread has a row. */
const ROW_THREADS = 16;

/** A workgroup a row on cards; on a CPU, where barriers are dear, a thread a row. */
function rowKernel(
  [rows, channels]: readonly [number, number],
  capabilities: KernelCapabilities,
  byGroup: Shader,
  byThread: Shader,
): Pick<Kernel, 'shader' | 'modules' | 'workgroups'> {
  const lanes = lanesModule(channels);
  return capabilities.software
    ? { shader: byThread, modules: [lanes], workgroups: gridFor(rows, ROW_THREADS) }
    : { shader: byGroup, modules: [reduceModule(capabilities), lanes], workgroups: grid(rows) };
}

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
        ...rowKernel([rows, channels], capabilities, forwardShader, rowsShader),
        params: [u32(rows), u32(channels), f32(attrs.eps)],
        bindings: [...inputs, ...outputs],
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
    const { modules = [], ...kernel } = rowKernel([rows, channels], capabilities, dxShader, dxRowsShader);
    return [
      {
        ...kernel,
        modules: [...modules, epilogueLanesModule(addend)],
        params: [u32(rows), u32(channels)],
        bindings: [x!, weight!, dx!, addend, rstd!, dy!],
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
