import { elementCount } from '../../core/dtypes';
import type { Graph, Op, Tensor } from '../graph/graph';
import { f32, grid, gridFor, u32, type Kernel } from '../graph/kernel';
import { summandOp } from './accumulate';
import { epilogueModule, lanesModule, weightBlocks, weightModules } from './modules';
import { matrix } from './shape';
import type { TokenRows } from './token_rows';
import { shader } from '../graph/shaders';

const forwardShader = shader('rows/embedding');
const tokensShader = shader('rows/embedding_tokens');
const backwardShader = shader('rows/embedding_backward');
const partTokens = shader('rows/part_tokens');
const listedTokens = shader('rows/listed_tokens');

/** Rows of the table that come before each of its parts. */
function firstRows(parts: readonly Tensor[]): number[] {
  let rows = 0;
  return parts.map((part) => {
    rows += part.shape[0]!;
    return rows - part.shape[0]!;
  });
}

interface EmbeddingAttrs {
  readonly scale: number;
  /** Parts of the table. */
  readonly parts: number;
}

/** Inputs: ids, the parts of the table, and where tokens have rows of their own, their ids and these. */
const embeddingOp: Op<EmbeddingAttrs> = {
  name: 'embedding',
  outputs([ids, part]) {
    return [{ shape: [elementCount(ids!.shape), matrix('embedding', part!)[1]], dtype: 'f32' }];
  },
  kernels({ inputs: [ids, ...rest], outputs: [y], attrs: { scale, parts: count } }, capabilities) {
    const [rows, channels] = matrix('embedding', y!);
    const parts = rest.slice(0, count);
    const [tokens, tokenRows] = rest.slice(count);
    const firsts = firstRows(parts);
    const ofParts = parts.map((part, i): Kernel => ({
      shader: forwardShader,
      modules: weightModules(part, capabilities),
      params: [u32(rows), u32(channels), u32(firsts[i]!), u32(part.shape[0]!), weightBlocks(part), f32(scale)],
      bindings: [ids!, part, y!],
      workgroups: gridFor(rows * channels),
      flops: rows * channels,
    }));
    if (!tokens) return ofParts;
    const ofTokens: Kernel = {
      shader: tokensShader,
      params: [u32(rows), u32(channels), u32(tokens.shape[0]!), f32(scale)],
      bindings: [ids, tokens, tokenRows, y],
      workgroups: grid(rows),
      flops: rows * (channels + 64 * tokens.shape[0]!),
    };
    return [...ofParts, ofTokens];
  },
  backward({ graph, inputs: [ids, ...rest], dOutputs: [dy], attrs: { scale, parts: count }, needs, takeTotal }) {
    const parts = rest.slice(0, count);
    const [tokens] = rest.slice(count);
    const firsts = firstRows(parts);
    const gradients = parts.map((part, i) => {
      if (!needs(i + 1)) return undefined;
      if (tokens) throw new Error('embedding: tokens have rows of their own beside a frozen table alone');
      const attrs = { firstRow: firsts[i]!, rows: part.shape[0]!, scale };
      return embeddingBackward(graph, [ids!, dy!], attrs, takeTotal(i + 1));
    });
    const ofTokens = count + 2;
    if (!tokens || !needs(ofTokens)) return [undefined, ...gradients];
    const attrs = { firstRow: 0, rows: tokens.shape[0]!, scale };
    const dRows = embeddingBackward(graph, [ids!, dy!, tokens], attrs, takeTotal(ofTokens));
    return [undefined, ...gradients, undefined, dRows];
  },
};

interface RowAttrs {
  readonly firstRow: number;
  readonly rows: number;
  readonly scale: number;
}

/** Inputs: ids, dy, and the tokens of the rows, where they aren't those from `firstRow` on. */
const embeddingBackward = summandOp<RowAttrs>({
  name: 'embeddingBackward',
  output: ([, dy], { rows }) => ({ shape: [rows, dy!.shape[1]!], dtype: 'f32' }),
  kernel([ids, dy, tokens], y, { firstRow, rows, scale }, _, accumulate) {
    const [count, channels] = matrix('embeddingBackward', dy!);
    return {
      shader: backwardShader,
      modules: [lanesModule(1), epilogueModule(undefined, accumulate), tokens ? listedTokens : partTokens],
      params: [u32(rows), u32(firstRow), u32(count), u32(channels), f32(scale)],
      bindings: [ids, dy, y, undefined, tokens],
      workgroups: grid(rows),
      flops: rows * count * Math.ceil(channels / 64) * 8,
    };
  },
});

/**
 * Rows of table[V, C] at ids[N] (u32), times `scale`: f32 [N, C]. `table` is of any weight type, in parts of whole rows; ids must be
 * below V. Rows of `tokens` stand in the place of the table's, which is frozen then.
 */
export function embedding(
  graph: Graph,
  ids: Tensor,
  table: readonly Tensor[],
  scale = 1,
  tokens?: Pick<TokenRows, 'ids' | 'rows'>,
): Tensor {
  const ofTokens = tokens ? [tokens.ids, tokens.rows] : [];
  return graph.apply1(embeddingOp, [ids, ...table, ...ofTokens], { scale, parts: table.length });
}
