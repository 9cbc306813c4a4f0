import forwardCode from '../../../shaders/cross_entropy.wgsl?raw';
import backwardCode from '../../../shaders/cross_entropy_backward.wgsl?raw';
import sumCode from '../../../shaders/sum.wgsl?raw';
import type { Graph, Op, Tensor } from '../graph';
import { grid, gridFor, u32, type Shader } from '../kernel';
import { reduceModule } from './modules';
import { expectShape, matrix } from './shape';

const forwardShader: Shader = { name: 'cross_entropy', code: forwardCode };
const backwardShader: Shader = { name: 'cross_entropy_backward', code: backwardCode };
const sumShader: Shader = { name: 'sum', code: sumCode };

/** Outputs: the summed loss [1], the log-sum-exp of each row [N], and the token losses (scratch). */
export const crossEntropyOp: Op = {
  name: 'crossEntropy',
  scratchFrom: 2,
  outputs([logits, labels]) {
    const [rows] = matrix('crossEntropy', logits!);
    expectShape('crossEntropy labels', labels!, [rows]);
    return [
      { shape: [1], dtype: 'f32' },
      { shape: [rows], dtype: 'f32' },
      { shape: [rows], dtype: 'f32' },
    ];
  },
  kernels({ inputs: [logits, labels], outputs: [loss, lse, tokenLoss] }, capabilities) {
    const [rows, vocab] = matrix('crossEntropy', logits!);
    const modules = [reduceModule(capabilities)];
    return [
      {
        shader: forwardShader,
        modules,
        params: [u32(rows), u32(vocab)],
        bindings: [logits!, labels!, lse!, tokenLoss!],
        workgroups: grid(rows),
        flops: 12 * rows * vocab,
      },
      {
        shader: sumShader,
        modules,
        params: [u32(rows)],
        bindings: [tokenLoss!, loss!],
        workgroups: [1, 1, 1],
        flops: rows,
      },
    ];
  },
  backward({ graph, inputs: [logits, labels], outputs: [, lse], dOutputs: [dLoss] }) {
    return [graph.apply1(crossEntropyBackwardOp, [logits!, labels!, lse!, dLoss!], undefined)];
  },
};

export const crossEntropyBackwardOp: Op = {
  name: 'crossEntropyBackward',
  outputs: ([logits]) => [{ shape: logits!.shape, dtype: 'f32' }],
  kernels({ inputs, outputs }) {
    const [rows, vocab] = matrix('crossEntropyBackward', inputs[0]!);
    return [
      {
        shader: backwardShader,
        params: [u32(rows), u32(vocab)],
        bindings: [...inputs, ...outputs],
        workgroups: gridFor(rows * vocab),
        flops: 10 * rows * vocab,
      },
    ];
  },
};

/** Sum of −log softmax(logits[N, V])[label] over the rows whose label (i32 [N]) is not negative: f32 [1]. */
export function crossEntropy(graph: Graph, logits: Tensor, labels: Tensor): Tensor {
  return graph.apply1(crossEntropyOp, [logits, labels], undefined);
}
