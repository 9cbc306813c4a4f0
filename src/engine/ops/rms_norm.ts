import type { Graph, Op, Tensor } from '../graph/graph';
import { f32, grid, gridFor, u32, type Kernel, type KernelCapabilities, type Shader } from '../graph/kernel';
import { summandOp } from './accumulate';
import { epilogueModule, lanesModule, reduceModule } from './modules';
import { matrix } from './shape';
import { shader } from '../graph/shaders';

const forwardShader = shader('norm/rms_norm');
const rowsShader = shader('cpu/rms_norm_rows');
const dxRowsShader = shader('cpu/rms_norm_dx_rows');
const dxShader = shader('norm/rms_norm_dx');
const dweightShader = shader('norm/rms_norm_dweight');

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

/** Rows that are normed by themselves, each as long as the weight: rows of x, or equal parts of them. */
function normRows(x: Tensor, channels: number): [number, number] {
  const [rows, width] = matrix('rmsNorm', x);
  if (width % channels !== 0) throw new Error(`rmsNorm: rows of ${width} are no multiple of ${channels}`);
  return [(rows * width) / channels, channels];
}

interface NormAttrs {
  readonly eps: number;
  readonly offset: number;
}

const rmsNormOp: Op<NormAttrs> = {
  name: 'rmsNorm',
  cheap: true,
  outputs([x, weight]) {
    const [rows] = normRows(x!, weight!.shape[0]!);
    return [
      { shape: x!.shape, dtype: 'f32' },
      { shape: [rows], dtype: 'f32' },
    ];
  },
  kernels({ inputs, outputs, attrs }, capabilities) {
    const [rows, channels] = normRows(inputs[0]!, inputs[1]!.shape[0]!);
    return [
      {
        ...rowKernel([rows, channels], capabilities, forwardShader, rowsShader),
        params: [u32(rows), u32(channels), f32(attrs.eps), f32(attrs.offset)],
        bindings: [...inputs, ...outputs],
        flops: 4 * rows * channels,
      },
    ];
  },
  backward({ graph, inputs: [x, weight], outputs: [, rstd], dOutputs: [dy], attrs, needs, takePartial, takeTotal }) {
    const addend = needs(0) ? takePartial(0) : undefined;
    const inputs = [x!, weight!, rstd!, dy!, ...(addend ? [addend] : [])];
    return [
      needs(0) ? graph.apply1(rmsNormDxOp, inputs, attrs) : undefined,
      needs(1) ? rmsNormDweight(graph, [x!, rstd!, dy!], { channels: weight!.shape[0]! }, takeTotal(1)) : undefined,
    ];
  },
};

/** Inputs x, weight, rstd, dy and an optional addend of x's shape. */
const rmsNormDxOp: Op<NormAttrs> = {
  name: 'rmsNormDx',
  outputs: ([x]) => [{ shape: x!.shape, dtype: 'f32' }],
  kernels({ inputs: [x, weight, rstd, dy, addend], outputs: [dx], attrs }, capabilities) {
    const [rows, channels] = normRows(x!, weight!.shape[0]!);
    const { modules = [], ...kernel } = rowKernel([rows, channels], capabilities, dxShader, dxRowsShader);
    return [
      {
        ...kernel,
        modules: [...modules, epilogueModule(addend)],
        params: [u32(rows), u32(channels), f32(attrs.offset)],
        bindings: [x!, weight!, dx!, addend, rstd!, dy!],
        flops: 8 * rows * channels,
      },
    ];
  },
};

const rmsNormDweight = summandOp<{ readonly channels: number }>({
  name: 'rmsNormDweight',
  output: (_, { channels }) => ({ shape: [channels], dtype: 'f32' }),
  kernel(inputs, y, attrs, _, accumulate) {
    const [rows, channels] = normRows(inputs[0]!, attrs.channels);
    return {
      shader: dweightShader,
      modules: [lanesModule(1), epilogueModule(undefined, accumulate)],
      params: [u32(rows), u32(channels)],
      bindings: [...inputs, y],
      workgroups: gridFor(channels),
      flops: 3 * rows * channels,
    };
  },
});

/**
 * Root-mean-square norm of x[N, C], f32, with weight[C], to which `offset` is added. With a shorter weight[D] each D
 * channels of a row are normed by themselves: the heads of queries and keys.
 */
export function rmsNorm(graph: Graph, x: Tensor, weight: Tensor, eps: number, offset = 0): Tensor {
  return graph.apply1(rmsNormOp, [x, weight], { eps, offset });
}
