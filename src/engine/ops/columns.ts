import code from '../../../shaders/copy_columns.wgsl?raw';
import type { Graph, Op, Tensor } from '../graph';
import { gridFor, u32, type Kernel, type Shader } from '../kernel';
import { matrix } from './shape';

const shader: Shader = { name: 'copy_columns', code };

export const concatColumnsOp: Op = {
  name: 'concatColumns',
  outputs(parts) {
    const extents = parts.map((part) => matrix('concatColumns', part));
    const [rows] = extents[0]!;
    if (extents.some(([other]) => other !== rows)) throw new Error('concatColumns: parts of different heights');
    return [{ shape: [rows, extents.reduce((sum, [, columns]) => sum + columns, 0)], dtype: 'f32' }];
  },
  kernels({ inputs, outputs: [y] }) {
    let first = 0;
    return inputs.map((part): Kernel => {
      const [rows, columns] = matrix('concatColumns', part);
      const params = [rows, columns, first, y!.shape[1]!].map(u32);
      first += columns;
      const count = rows * columns;
      return { shader, params, bindings: [part, y!], workgroups: gridFor(count), flops: count };
    });
  },
};

/** Parts [N, cᵢ] side by side: [N, Σ cᵢ]. */
export function concatColumns(graph: Graph, parts: readonly Tensor[]): Tensor {
  return graph.apply1(concatColumnsOp, parts, undefined);
}
