import forwardCode from '../../../shaders/embedding.wgsl?raw';
import backwardCode from '../../../shaders/embedding_backward.wgsl?raw';
import { elementCount } from '../../core/dtypes';
import type { Graph, Op, Tensor } from '../graph';
import { grid, gridFor, u32, type Shader } from '../kernel';
import { weightBlocks, weightModules } from './modules';
import { matrix } from './shape';

const forwardShader: Shader = { name: 'embedding', code: forwardCode };
const backwardShader: Shader = { name: 'embedding_backward', code: backwardCode };

export const embeddingOp: Op = {
  name: 'embedding',
  outputs([ids, table]) {
    return [{ shape: [elementCount(ids!.shape), matrix('embedding', table!)[1]], dtype: 'f32' }];
  },
  kernels({ inputs: [ids, table], outputs: [y] }, capabilities) {
    const [tokens, channels] = matrix('embedding', y!);
    return [
      {
        shader: forwardShader,
        modules: weightModules(table!, capabilities),
        params: [u32(tokens), u32(channels), weightBlocks(table!)],
        bindings: [ids!, table!, y!],
        workgroups: gridFor(tokens * channels),
        flops: tokens * channels,
      },
    ];
  },
  backward({ graph, inputs: [ids, table], dOutputs: [dy], needs }) {
    const attrs = { vocab: table!.shape[0]! };
    return [undefined, needs(1) ? graph.apply1(embeddingBackwardOp, [ids!, dy!], attrs) : undefined];
  },
};

export const embeddingBackwardOp: Op<{ vocab: number }> = {
  name: 'embeddingBackward',
  outputs: ([, dy], { vocab }) => [{ shape: [vocab, dy!.shape[1]!], dtype: 'f32' }],
  kernels({ inputs, outputs, attrs: { vocab } }) {
    const [tokens, channels] = matrix('embeddingBackward', inputs[1]!);
    return [
      {
        shader: backwardShader,
        params: [u32(vocab), u32(tokens), u32(channels)],
        bindings: [...inputs, ...outputs],
        workgroups: grid(vocab),
        flops: vocab * tokens * Math.ceil(channels / 64) * 8,
      },
    ];
  },
};

/** Rows of table[V, C] (of any weight type) at ids[N] (u32): f32 [N, C]. Ids must be below V. */
export function embedding(graph: Graph, ids: Tensor, table: Tensor): Tensor {
  return graph.apply1(embeddingOp, [ids, table], undefined);
}
