import type { Graph, Op, Tensor } from '../graph/graph';
import { matmulKernels } from './matmul_cutting';
import { extents, type MatmulAttrs } from './matmul_product';
import { expectShape } from './shape';

export { matmulKernels } from './matmul_cutting';

/** C = addend + alpha · op(A) · op(B). Inputs: A f32, B f32 or a weight type, and an optional f32 addend. */
export const matmulOp: Op<MatmulAttrs> = {
  name: 'matmul',
  outputs(inputs, attrs) {
    const { m, n } = extents(inputs, attrs);
    if (inputs[2]) expectShape('matmul addend', inputs[2], [m, n]);
    return [{ shape: [m, n], dtype: 'f32' }];
  },
  kernels: (node, capabilities) => matmulKernels(node, capabilities),
  /** Only for C = addend + alpha · X · Wᵀ, a linear: dX = alpha · dY · W, dW = alpha · dYᵀ · X. */
  backward({ graph, inputs: [x, w], dOutputs: [dy], attrs, needs, takePartial, takeTotal }) {
    if (attrs.transposeA || !attrs.transposeB) throw new Error('matmul: only X · Wᵀ is differentiated');
    const { alpha } = attrs;
    // dW first: X may not be needed after it, before dX is there.
    const dw = needs(1) ? weightGradient(graph, dy!, x!, alpha, takePartial(1), takeTotal(1)) : undefined;
    const dx = needs(0) ? matmul(graph, dy!, w!, { alpha, addend: takePartial(0) }) : undefined;
    return [dx, dw, dy];
  },
};

/** The same with a bias by column, f32 [N], the last input: what `compile/bias.ts` makes of the two. */
export const biasedMatmulOp: Op<MatmulAttrs> = {
  name: 'matmul',
  outputs(inputs, attrs) {
    const { m, n } = extents(inputs, attrs);
    return [{ shape: [m, n], dtype: 'f32' }];
  },
  kernels: ({ inputs, outputs, attrs }, capabilities) =>
    matmulKernels({ inputs: inputs.slice(0, -1), outputs, attrs, bias: inputs.at(-1)! }, capabilities),
};

/** total += alpha · op(A) · op(B). Inputs: A and B as in `matmulOp`, and the total, a persistent leaf. */
export const matmulSumOp: Op<MatmulAttrs> = {
  name: 'matmulSum',
  writes: [2],
  outputs(inputs, attrs) {
    const { m, n } = extents(inputs, attrs);
    expectShape('matmul total', inputs[2]!, [m, n]);
    return [];
  },
  kernels: ({ inputs: [a, b, total], attrs }, capabilities) =>
    matmulKernels({ inputs: [a!, b!], outputs: [total!], attrs: { ...attrs, accumulate: true } }, capabilities),
};

/** partial + alpha · dYᵀ · X; where there is a total, it is added to that and nothing is returned. */
function weightGradient(
  graph: Graph,
  dy: Tensor,
  x: Tensor,
  alpha: number,
  partial: Tensor | undefined,
  total: Tensor | undefined,
): Tensor | undefined {
  if (!total) return matmul(graph, dy, x, { transposeA: true, alpha, addend: partial });
  addProduct(graph, dy, x, total, alpha);
  return undefined;
}

/** total[M, N] += alpha · a[K, M]ᵀ · b[K, N], where the total is a leaf. */
export function addProduct(graph: Graph, a: Tensor, b: Tensor, total: Tensor, alpha = 1): void {
  graph.apply(matmulSumOp, [a, b, total], { transposeA: true, transposeB: false, alpha });
}

interface MatmulOptions {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  readonly alpha?: number;
  readonly addend?: Tensor | undefined;
}

/** addend + alpha · op(a) · op(b); see `matmulOp`. */
export function matmul(graph: Graph, a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor {
  const { transposeA = false, transposeB = false, alpha = 1, addend } = options;
  return graph.apply1(matmulOp, addend ? [a, b, addend] : [a, b], { transposeA, transposeB, alpha });
}

/** x[N, in] · w[out, in]ᵀ, times `alpha`, plus `addend` [N, out]: a linear layer without bias. */
export function linear(
  graph: Graph,
  x: Tensor,
  w: Tensor,
  options: Pick<MatmulOptions, 'alpha' | 'addend'> = {},
): Tensor {
  return matmul(graph, x, w, { ...options, transposeB: true });
}
