import { elementCount } from '../../core/dtypes';
import type { Graph, Op, Tensor } from '../graph/graph';
import { gridFor, u32 } from '../graph/kernel';
import { weightBlocks, weightModules } from './modules';
import { shader } from '../graph/shaders';

const roundShader = shader('pointwise/round_bf16');
const expandShader = shader('pointwise/expand');

/** Rounding's gradient passes straight through (Bengio et al. 2013, arXiv:1308.3432): it is 0 almost everywhere. */
const roundOp: Op = {
  name: 'round',
  outputs: ([x]) => [{ shape: x!.shape, dtype: 'bf16' }],
  kernels({ inputs, outputs }) {
    const words = Math.ceil(elementCount(outputs[0]!.shape) / 2);
    const bindings = [...inputs, ...outputs];
    return [{ shader: roundShader, params: [u32(words)], bindings, workgroups: gridFor(words), flops: 8 * words }];
  },
  backward: ({ dOutputs: [dy] }) => [dy],
};

const expandOp: Op = {
  name: 'expand',
  cheap: true,
  outputs: ([x]) => [{ shape: x!.shape, dtype: 'f32' }],
  kernels({ inputs: [x], outputs: [y] }, capabilities) {
    const vectors = Math.ceil(elementCount(y!.shape) / 4);
    return [
      {
        shader: expandShader,
        modules: weightModules(x!, capabilities),
        params: [u32(vectors), weightBlocks(x!)],
        bindings: [x!, y!],
        workgroups: gridFor(vectors),
        flops: 8 * vectors,
      },
    ];
  },
  backward: ({ dOutputs: [dy] }) => [dy],
};

/** x in half the bytes: bf16, to nearest even. */
export function round(graph: Graph, x: Tensor): Tensor {
  return graph.apply1(roundOp, [x], undefined);
}

/** x as f32, exactly. */
export function expand(graph: Graph, x: Tensor): Tensor {
  return graph.apply1(expandOp, [x], undefined);
}
