/** Sums and means over the labelled rows of each sequence, as objectives take them of log-probabilities. */
import { elementCount } from '../../core/dtypes';
import type { Graph, Op, Tensor } from '../graph/graph';
import { grid, gridFor, u32 } from '../graph/kernel';
import { shader } from '../graph/shaders';
import { reduceModule } from './modules';
import { expectShape } from './shape';

const sumShader = shader('sums/sequence_sum');
const spreadShader = shader('sums/sequence_spread');

/** Outputs: the sums, and the share that a row has in its own. */
const sequenceSumsOp: Op<{ readonly length: number; readonly mean: boolean }> = {
  name: 'sequenceSums',
  outputs([x, labels], { length }) {
    expectShape('sequenceSums labels', labels!, [elementCount(x!.shape)]);
    const sequences = elementCount(x!.shape) / length;
    if (!Number.isInteger(sequences)) throw new Error(`sequenceSums: [${x!.shape.join(', ')}] by ${length}`);
    return [
      { shape: [sequences], dtype: 'f32' },
      { shape: [sequences], dtype: 'f32' },
    ];
  },
  kernels({ inputs, outputs, attrs: { length, mean } }, capabilities) {
    const sequences = outputs[0]!.shape[0]!;
    return [
      {
        shader: sumShader,
        modules: [reduceModule(capabilities)],
        constants: { MEAN: mean ? 1 : 0 },
        params: [sequences, length].map(u32),
        bindings: [...inputs, ...outputs],
        workgroups: grid(sequences),
        flops: 2 * sequences * length,
      },
    ];
  },
  backward({ graph, inputs: [, labels], outputs: [, share], attrs: { length }, dOutputs: [dSums] }) {
    return [graph.apply1(spreadOp, [dSums!, share!, labels!], { length })];
  },
};

const spreadOp: Op<{ readonly length: number }> = {
  name: 'sequenceSpread',
  outputs([, , labels]) {
    return [{ shape: labels!.shape, dtype: 'f32' }];
  },
  kernels({ inputs, outputs, attrs: { length } }) {
    const count = elementCount(outputs[0]!.shape);
    return [
      {
        shader: spreadShader,
        params: [count, length].map(u32),
        bindings: [...inputs, ...outputs],
        workgroups: gridFor(count),
        flops: count,
      },
    ];
  },
};

/**
 * x[B·T] summed over each sequence of `length` rows where labels (i32 [B·T]) are not negative, or averaged over those
 * rows: f32 [B], 0 for a sequence without one.
 */
export function sequenceSums(
  graph: Graph,
  x: Tensor,
  labels: Tensor,
  attrs: { readonly length: number; readonly mean: boolean },
): Tensor {
  return graph.apply1(sequenceSumsOp, [x, labels], attrs);
}
