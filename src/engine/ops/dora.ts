import type { Graph, Op, Tensor } from '../graph/graph';
import { f32, grid, gridFor, u32, type Kernel, type KernelCapabilities } from '../graph/kernel';
import { summandOp } from './accumulate';
import { epilogueModule, lanesModule, reduceModule, weightBlocks, weightModules } from './modules';
import { expectShape, matrix } from './shape';
import { shader } from '../graph/shaders';

const normShader = shader('dora/norm');
const scaleShader = shader('dora/scale');
const dmagnitudeShader = shader('dora/dmagnitude');

/** ‖weight + scaling · b · a‖ by row, into `norm`. */
function normKernel(
  inputs: readonly Tensor[],
  norm: Tensor,
  scaling: number,
  capabilities: KernelCapabilities,
): Kernel {
  const [rows, columns] = matrix('doraNorm', inputs[0]!);
  const [rank] = matrix('doraNorm', inputs[1]!);
  return {
    shader: normShader,
    modules: [...weightModules(inputs[0]!, capabilities), reduceModule(capabilities)],
    params: [u32(rows), u32(columns), u32(rank), f32(scaling), weightBlocks(inputs[0]!)],
    bindings: [...inputs, norm],
    workgroups: grid(rows),
    flops: 2 * rows * columns * (rank + 2),
  };
}

/** No backward rule is needed: PEFT detaches the norm (arXiv:2402.09353, section 4.3), so nothing flows through it. */
const doraNormOp: Op<{ scaling: number }> = {
  name: 'doraNorm',
  outputs: ([weight]) => [{ shape: [matrix('doraNorm', weight!)[0]], dtype: 'f32' }],
  kernels: ({ inputs, outputs: [norm], attrs }, capabilities) => [
    normKernel(inputs, norm!, attrs.scaling, capabilities),
  ],
  backward: () => [],
};

const storeDoraNormOp: Op<{ scaling: number }> = {
  name: 'storeDoraNorm',
  writes: [3],
  outputs([weight, , , norm]) {
    expectShape('storeDoraNorm norm', norm!, [matrix('storeDoraNorm', weight!)[0]]);
    return [];
  },
  kernels: ({ inputs, attrs }, capabilities) => [
    normKernel(inputs.slice(0, 3), inputs[3]!, attrs.scaling, capabilities),
  ],
};

/** Inputs x[N, C], magnitude[C], norm[C]. */
const doraScaleOp: Op = {
  name: 'doraScale',
  outputs([x, magnitude, norm]) {
    const [, columns] = matrix('doraScale', x!);
    expectShape('doraScale magnitude', magnitude!, [columns]);
    expectShape('doraScale norm', norm!, [columns]);
    return [{ shape: x!.shape, dtype: 'f32' }];
  },
  kernels({ inputs, outputs }) {
    const [rows, columns] = matrix('doraScale', inputs[0]!);
    const count = rows * columns;
    const bindings = [...inputs, ...outputs];
    return [
      {
        shader: scaleShader,
        params: [u32(count), u32(columns)],
        bindings,
        workgroups: gridFor(count),
        flops: 3 * count,
      },
    ];
  },
  backward({ graph, inputs: [x, magnitude, norm], dOutputs: [dy], needs, takeTotal }) {
    return [
      needs(0) ? graph.apply1(doraScaleOp, [dy!, magnitude!, norm!], undefined) : undefined,
      needs(1) ? doraDmagnitude(graph, [x!, norm!, dy!], undefined, takeTotal(1)) : undefined,
    ];
  },
};

const doraDmagnitude = summandOp<undefined>({
  name: 'doraDmagnitude',
  output: ([, norm]) => ({ shape: norm!.shape, dtype: 'f32' }),
  kernel(inputs, y, _, __, accumulate) {
    const [rows, columns] = matrix('doraDmagnitude', inputs[0]!);
    return {
      shader: dmagnitudeShader,
      modules: [lanesModule(1), epilogueModule(undefined, accumulate)],
      params: [u32(rows), u32(columns)],
      bindings: [...inputs, y],
      workgroups: gridFor(columns),
      flops: 2 * rows * columns,
    };
  },
});

/** ‖weight + scaling · b · a‖ by row: weight[out, in], a[r, in], b[out, r]; f32 [out], a constant of the backward pass. */
export function doraNorm(graph: Graph, weight: Tensor, a: Tensor, b: Tensor, scaling: number): Tensor {
  return graph.apply1(doraNormOp, [weight, a, b], { scaling });
}

/** The same, into a persistent leaf. */
export function storeDoraNorm(graph: Graph, weight: Tensor, a: Tensor, b: Tensor, scaling: number, norm: Tensor): void {
  graph.apply(storeDoraNormOp, [weight, a, b, norm], { scaling });
}

/** x[N, C] · magnitude[C] / norm[C]. */
export function doraScale(graph: Graph, x: Tensor, magnitude: Tensor, norm: Tensor): Tensor {
  return graph.apply1(doraScaleOp, [x, magnitude, norm], undefined);
}
