import { elementCount } from '../../core/dtypes';
import type { Graph, Op, Tensor } from '../graph/graph';
import { gridFor, u32, type Kernel } from '../graph/kernel';
import { matrix } from './shape';
import { shader } from '../graph/shaders';

const copyShader = shader('rows/copy');

/** Copies `count` elements of x from `source` to y at `destination`. */
function copyKernel(x: Tensor, source: number, y: Tensor, destination: number, count: number): Kernel {
  const params = [u32(count), u32(source), u32(destination)];
  return { shader: copyShader, params, bindings: [x, y], workgroups: gridFor(count), flops: count };
}

/** Parts and where they start in the whole, in elements. */
function placed(parts: readonly Tensor[]): { part: Tensor; start: number; count: number }[] {
  let start = 0;
  return parts.map((part) => {
    const count = elementCount(part.shape);
    start += count;
    return { part, start: start - count, count };
  });
}

const splitRowsOp: Op<{ readonly rows: readonly number[] }> = {
  name: 'splitRows',
  outputs([x], { rows }) {
    const [total, channels] = matrix('splitRows', x!);
    if (rows.reduce((sum, n) => sum + n, 0) !== total)
      throw new Error(`splitRows: ${rows.join(' + ')} is not ${total}`);
    return rows.map((n) => ({ shape: [n, channels], dtype: 'f32' }));
  },
  kernels: ({ inputs: [x], outputs }) =>
    placed(outputs).map(({ part, start, count }) => copyKernel(x!, start, part, 0, count)),
  backward({ graph, dOutputs }) {
    const parts = dOutputs.filter((part) => part !== undefined);
    if (parts.length < dOutputs.length) throw new Error('splitRows: a part without a gradient');
    return [concatRows(graph, parts)];
  },
};

const concatRowsOp: Op = {
  name: 'concatRows',
  outputs(parts) {
    const extents = parts.map((part) => matrix('concatRows', part));
    const [, channels] = extents[0]!;
    if (extents.some(([, other]) => other !== channels)) throw new Error('concatRows: parts of different widths');
    return [{ shape: [extents.reduce((sum, [rows]) => sum + rows, 0), channels], dtype: 'f32' }];
  },
  kernels: ({ inputs, outputs: [y] }) =>
    placed(inputs).map(({ part, start, count }) => copyKernel(part, 0, y!, start, count)),
  backward({ graph, inputs, dOutputs: [dy] }) {
    return splitRows(
      graph,
      dy!,
      inputs.map(({ shape }) => shape[0]!),
    );
  },
};

/** x[N, C] as parts of that many rows each, which add up to N. */
export function splitRows(graph: Graph, x: Tensor, rows: readonly number[]): Tensor[] {
  return graph.apply(splitRowsOp, [x], { rows });
}

/** Parts [nᵢ, C] under one another: [Σ nᵢ, C]. */
export function concatRows(graph: Graph, parts: readonly Tensor[]): Tensor {
  return graph.apply1(concatRowsOp, parts, undefined);
}
