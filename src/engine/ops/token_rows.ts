/** Tokens that have rows of their own in the place of a table's: what that changes in logits and their gradient. */
import type { Graph, Op, Tensor } from '../graph/graph';
import { gridFor, u32, type Kernel } from '../graph/kernel';
import { shader } from '../graph/shaders';
import type { Operand } from '../graph/tensor';
import { linear } from './matmul';
import { expectShape, matrix } from './shape';

const putShader = shader('head/put_columns');
const takeShader = shader('head/take_columns');
const copyShader = shader('rows/copy');

/** Rows that stand in the place of those of a table that is frozen. */
export interface TokenRows {
  /** u32 [R], each once. */
  readonly ids: Tensor;
  /** f32 [R, C]. */
  readonly rows: Tensor;
  /** The f32 leaf that the rows' gradient is added to; undefined where there is none. */
  readonly dRows?: Tensor | undefined;
}

export function checkTokenRows(op: string, { ids, rows, dRows }: TokenRows, channels: number): void {
  expectShape(`${op} token rows`, rows, [ids.shape[0]!, channels]);
  if (dRows) expectShape(`${op} gradient of token rows`, dRows, rows.shape);
}

/** Logits of some rows in a range of the vocabulary, and those of the tokens [rows, R]. */
export interface TokenLogits {
  readonly ids: Tensor;
  readonly ofTokens: Operand;
  readonly logits: Operand;
  readonly firstColumn: number;
}

function columnsKernel(file: Kernel['shader'], { ids, ofTokens, logits, firstColumn }: TokenLogits): Kernel {
  const [rows, tokens] = matrix('token columns', ofTokens);
  const [, columns] = matrix('token columns', logits);
  return {
    shader: file,
    params: [rows, columns, firstColumn, tokens].map(u32),
    bindings: [ids, ofTokens, logits],
    workgroups: gridFor(rows * tokens),
    flops: rows * tokens,
  };
}

/** Puts the logits of tokens into their columns. */
export const putKernel = (logits: TokenLogits): Kernel => columnsKernel(putShader, logits);

/** Takes the gradient of the logits of tokens from their columns, and leaves 0 there. */
export const takeKernel = (logits: TokenLogits): Kernel => columnsKernel(takeShader, logits);

/** Inputs: logits of the whole vocabulary, ids of tokens, and their logits. */
const replaceColumnsOp: Op = {
  name: 'replaceColumns',
  inPlace: [0],
  outputs: ([logits]) => [{ shape: logits!.shape, dtype: 'f32' }],
  kernels({ inputs: [logits, ids, ofTokens], outputs: [y] }, _, inPlace = false) {
    const [rows, columns] = matrix('replaceColumns', y!);
    const count = rows * columns;
    const copy: Kernel = {
      shader: copyShader,
      params: [count, 0, 0].map(u32),
      bindings: [logits, y],
      workgroups: gridFor(count),
      flops: count,
    };
    const put = putKernel({ ids: ids!, ofTokens: ofTokens!, logits: y!, firstColumn: 0 });
    return inPlace ? [put] : [copy, put];
  },
};

/** Logits [N, V] of hidden states [N, C] with those of the tokens by their own rows. It has no gradient. */
export function replaceLogits(
  graph: Graph,
  logits: Tensor,
  hidden: Tensor,
  { ids, rows }: Pick<TokenRows, 'ids' | 'rows'>,
): Tensor {
  return graph.apply1(replaceColumnsOp, [logits, ids, linear(graph, hidden, rows)], undefined);
}
