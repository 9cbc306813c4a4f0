import type { Graph, Op, Tensor } from '../graph/graph';
import { gridFor, u32, type Kernel } from '../graph/kernel';
import { lanesModule } from './modules';
import { matrix } from './shape';
import { shader } from '../graph/shaders';

const copyShader = shader('rows/copy_columns');

/** Copies the columns of x from `source` on, as many as the narrower has, to those of y from `destination` on. */
function copyKernel(x: Tensor, source: number, y: Tensor, destination: number): Kernel {
  const [rows, from] = matrix('copyColumns', x);
  const [, to] = matrix('copyColumns', y);
  const extents = [Math.min(from, to), source, from, destination, to];
  const width = extents.every((extent) => extent % 4 === 0) ? 4 : 1;
  const count = (rows * extents[0]!) / width;
  return {
    shader: copyShader,
    modules: [lanesModule(width)],
    params: [rows, ...extents.map((extent) => extent / width)].map(u32),
    bindings: [x, y],
    workgroups: gridFor(count),
    flops: rows * extents[0]!,
  };
}

/** Parts and the column of the whole at which each starts. */
function placed(parts: readonly Tensor[]): { part: Tensor; first: number }[] {
  let first = 0;
  return parts.map((part) => {
    const [, columns] = matrix('columns', part);
    first += columns;
    return { part, first: first - columns };
  });
}

const concatColumnsOp: Op = {
  name: 'concatColumns',
  outputs(parts) {
    const extents = parts.map((part) => matrix('concatColumns', part));
    const [rows] = extents[0]!;
    if (extents.some(([other]) => other !== rows)) throw new Error('concatColumns: parts of different heights');
    return [{ shape: [rows, extents.reduce((sum, [, columns]) => sum + columns, 0)], dtype: 'f32' }];
  },
  kernels: ({ inputs, outputs: [y] }) => placed(inputs).map(({ part, first }) => copyKernel(part, 0, y!, first)),
  backward: ({ graph, inputs, dOutputs: [dy] }) =>
    splitColumns(
      graph,
      dy!,
      inputs.map(({ shape }) => shape[1]!),
    ),
};

const splitColumnsOp: Op<{ readonly columns: readonly number[] }> = {
  name: 'splitColumns',
  outputs([x], { columns }) {
    const [rows, total] = matrix('splitColumns', x!);
    if (columns.reduce((sum, n) => sum + n, 0) !== total)
      throw new Error(`splitColumns: ${columns.join(' + ')} is not ${total}`);
    return columns.map((n) => ({ shape: [rows, n], dtype: 'f32' }));
  },
  kernels: ({ inputs: [x], outputs }) => placed(outputs).map(({ part, first }) => copyKernel(x!, first, part, 0)),
  backward({ graph, dOutputs }) {
    const parts = dOutputs.filter((part) => part !== undefined);
    if (parts.length < dOutputs.length) throw new Error('splitColumns: a part without a gradient');
    return [concatColumns(graph, parts)];
  },
};

/** Parts [N, cᵢ] side by side: [N, Σ cᵢ]. */
export function concatColumns(graph: Graph, parts: readonly Tensor[]): Tensor {
  return graph.apply1(concatColumnsOp, parts, undefined);
}

/** x[N, C] as parts of that many columns each, which add up to C. */
export function splitColumns(graph: Graph, x: Tensor, columns: readonly number[]): Tensor[] {
  return graph.apply(splitColumnsOp, [x], { columns });
}
