import type { Graph, Op, Tensor } from '../graph/graph';
import { gridFor, u32 } from '../graph/kernel';
import { expectShape, matrix } from './shape';
import { shader } from '../graph/shaders';

const addShader = shader('pointwise/add_bias');
const sumShader = shader('sums/column_sum');

const addBiasOp: Op = {
  name: 'addBias',
  outputs([x, bias]) {
    expectShape('addBias', bias!, [matrix('addBias', x!)[1]]);
    return [{ shape: x!.shape, dtype: 'f32' }];
  },
  kernels({ inputs, outputs }) {
    const [rows, columns] = matrix('addBias', inputs[0]!);
    const count = rows * columns;
    const bindings = [...inputs, ...outputs];
    return [
      { shader: addShader, params: [u32(count), u32(columns)], bindings, workgroups: gridFor(count), flops: count },
    ];
  },
  backward: ({ graph, dOutputs: [dy], needs }) => [
    dy,
    needs(1) ? graph.apply1(columnSumOp, [dy!], undefined) : undefined,
  ],
};

const columnSumOp: Op = {
  name: 'columnSum',
  outputs: ([x]) => [{ shape: [matrix('columnSum', x!)[1]], dtype: 'f32' }],
  kernels({ inputs, outputs }) {
    const [rows, columns] = matrix('columnSum', inputs[0]!);
    const bindings = [...inputs, ...outputs];
    return [
      {
        shader: sumShader,
        params: [u32(rows), u32(columns)],
        bindings,
        workgroups: gridFor(columns),
        flops: rows * columns,
      },
    ];
  },
};

/** x[N, C] + bias[C], both f32. */
export function addBias(graph: Graph, x: Tensor, bias: Tensor): Tensor {
  return graph.apply1(addBiasOp, [x, bias], undefined);
}
