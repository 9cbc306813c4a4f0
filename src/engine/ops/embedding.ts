import { elementCount } from '../../core/dtypes';
import type { Graph, Op, Tensor } from '../graph/graph';
import { f32, grid, gridFor, u32, type Kernel } from '../graph/kernel';
import { summandOp } from './accumulate';
import { epilogueModule, lanesModule, weightBlocks, weightModules } from './modules';
import { matrix } from './shape';
import { shader } from '../graph/shaders';

const forwardShader = shader('rows/embedding');
const backwardShader = shader('rows/embedding_backward');

/** Rows of the table that come before each of its parts. */
function firstRows(parts: readonly Tensor[]): number[] {
  let rows = 0;
  return parts.map((part) => {
    rows += part.shape[0]!;
    return rows - part.shape[0]!;
  });
}

/** Inputs: ids, and the parts of the table. */
const embeddingOp: Op<{ readonly scale: number }> = {
  name: 'embedding',
  outputs([ids, part]) {
    return [{ shape: [elementCount(ids!.shape), matrix('embedding', part!)[1]], dtype: 'f32' }];
  },
  kernels({ inputs: [ids, ...parts], outputs: [y], attrs: { scale } }, capabilities) {
    const [tokens, channels] = matrix('embedding', y!);
    const firsts = firstRows(parts);
    return parts.map((part, i): Kernel => ({
      shader: forwardShader,
      modules: weightModules(part, capabilities),
      params: [u32(tokens), u32(channels), u32(firsts[i]!), u32(part.shape[0]!), weightBlocks(part), f32(scale)],
      bindings: [ids!, part, y!],
      workgroups: gridFor(tokens * channels),
      flops: tokens * channels,
    }));
  },
  backward({ graph, inputs: [ids, ...parts], dOutputs: [dy], attrs: { scale }, needs, takeTotal }) {
    const firsts = firstRows(parts);
    const gradients = parts.map((part, i) => {
      const attrs = { firstRow: firsts[i]!, rows: part.shape[0]!, scale };
      return needs(i + 1) ? embeddingBackward(graph, [ids!, dy!], attrs, takeTotal(i + 1)) : undefined;
    });
    return [undefined, ...gradients];
  },
};

interface PartAttrs {
  readonly firstRow: number;
  readonly rows: number;
  readonly scale: number;
}

const embeddingBackward = summandOp<PartAttrs>({
  name: 'embeddingBackward',
  output: ([, dy], { rows }) => ({ shape: [rows, dy!.shape[1]!], dtype: 'f32' }),
  kernel(inputs, y, { firstRow, rows, scale }, _, accumulate) {
    const [tokens, channels] = matrix('embeddingBackward', inputs[1]!);
    return {
      shader: backwardShader,
      modules: [lanesModule(1), epilogueModule(undefined, accumulate)],
      params: [u32(rows), u32(firstRow), u32(tokens), u32(channels), f32(scale)],
      bindings: [...inputs, y],
      workgroups: grid(rows),
      flops: rows * tokens * Math.ceil(channels / 64) * 8,
    };
  },
});

/**
 * Rows of table[V, C] at ids[N] (u32), times `scale`: f32 [N, C]. `table` is of any weight type, in parts of whole rows; ids must be
 * below V.
 */
export function embedding(graph: Graph, ids: Tensor, table: readonly Tensor[], scale = 1): Tensor {
  return graph.apply1(embeddingOp, [ids, ...table], { scale });
}
