import { elementCount } from '../../core/dtypes';
import type { Graph, Op, Tensor } from '../graph/graph';
import { gridFor, u32 } from '../graph/kernel';
import { shader } from '../graph/shaders';
import { expectShape, matrix } from './shape';

const poolShader = shader('sums/pool');
const spreadShader = shader('sums/pool_backward');

/** Inputs x[B·T, C], weights[B·T]; T is `length`. */
const poolOp: Op<{ readonly length: number }> = {
  name: 'pool',
  outputs([x, weights], { length }) {
    const [rows, channels] = matrix('pool', x!);
    expectShape('pool weights', weights!, [rows]);
    if (rows % length !== 0) throw new Error(`pool: ${rows} rows are no sequences of ${length}`);
    return [{ shape: [rows / length, channels], dtype: 'f32' }];
  },
  kernels({ inputs, outputs, attrs: { length } }) {
    const [sequences, channels] = matrix('pool', outputs[0]!);
    return [
      {
        shader: poolShader,
        params: [sequences, length, channels].map(u32),
        bindings: [...inputs, ...outputs],
        workgroups: gridFor(sequences * channels),
        flops: 2 * sequences * length * channels,
      },
    ];
  },
  backward({ graph, inputs: [x, weights], attrs, dOutputs: [dy] }) {
    return [graph.apply1(poolBackwardOp, [dy!, weights!], { ...attrs, shape: x!.shape })];
  },
};

const poolBackwardOp: Op<{ readonly length: number; readonly shape: readonly number[] }> = {
  name: 'poolBackward',
  outputs: (_, { shape }) => [{ shape, dtype: 'f32' }],
  kernels({ inputs, outputs, attrs: { length } }) {
    const count = elementCount(outputs[0]!.shape);
    return [
      {
        shader: spreadShader,
        params: [count, length, outputs[0]!.shape[1]!].map(u32),
        bindings: [...inputs, ...outputs],
        workgroups: gridFor(count),
        flops: count,
      },
    ];
  },
};

/**
 * The weighted sum of the rows of each sequence of `length`: x[B·T, C] by weights[B·T], f32 [B, C]. Weights are constants of
 * the backward pass.
 */
export function pool(graph: Graph, x: Tensor, weights: Tensor, length: number): Tensor {
  return graph.apply1(poolOp, [x, weights], { length });
}
