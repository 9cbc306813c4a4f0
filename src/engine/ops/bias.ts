import type { Graph, Op, Tensor } from '../graph/graph';
import { gridFor, u32 } from '../graph/kernel';
import { summandOp } from './accumulate';
import { epilogueModule, lanesModule } from './modules';
import { expectShape, matrix } from './shape';
import { shader } from '../graph/shaders';

const addShader = shader('pointwise/add_bias');
const sumShader = shader('sums/column_sum');

export const addBiasOp: Op = {
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
  backward: ({ graph, dOutputs: [dy], needs, takeTotal }) => [
    dy,
    needs(1) ? columnSum(graph, [dy!], undefined, takeTotal(1)) : undefined,
  ],
};

const columnSum = summandOp<undefined>({
  name: 'columnSum',
  output: ([x]) => ({ shape: [matrix('columnSum', x!)[1]], dtype: 'f32' }),
  kernel([x], y, _, __, accumulate) {
    const [rows, columns] = matrix('columnSum', x!);
    return {
      shader: sumShader,
      modules: [lanesModule(1), epilogueModule(undefined, accumulate)],
      params: [u32(rows), u32(columns)],
      bindings: [x, y],
      workgroups: gridFor(columns),
      flops: rows * columns,
    };
  },
});

/** x[N, C] + bias[C], both f32. */
export function addBias(graph: Graph, x: Tensor, bias: Tensor): Tensor {
  return graph.apply1(addBiasOp, [x, bias], undefined);
}
