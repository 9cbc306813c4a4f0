/** Embedding, matrix products and their folded sums, DoRA. */
import type { WeightDType } from '../../../../src/core/dtypes';
import { doraNorm, doraScale } from '../../../../src/engine/ops/dora';
import { concatColumns, splitColumns } from '../../../../src/engine/ops/columns';
import { embedding } from '../../../../src/engine/ops/embedding';
import type { Op } from '../../../../src/engine/graph/graph';
import { linear, matmul, matmulKernels } from '../../../../src/engine/ops/matmul';
import { rowsOf } from '../../../../src/engine/graph/tensor';
import * as sides from '../../../reference/columns';
import * as dora from '../../../reference/dora';
import * as lookup from '../../../reference/embedding';
import * as product from '../../../reference/matmul';
import type { Values } from '../../../reference/values';
import type { LeafInput } from '../../../support/graph-runner';
import { integers, normal, opCase, trainable, type OpCase } from './types';

const WEIGHT_TYPES: readonly WeightDType[] = ['f32', 'f16', 'bf16'];

/** `parts`: rows of each part of the table. */
function embeddingCase(N: number, parts: readonly number[], C: number, dtype: WeightDType, scale = 1): OpCase {
  const V = parts.reduce((sum, rows) => sum + rows, 0);
  const names = parts.map((_, i) => `table${i}`);
  const trained = dtype === 'f32';
  const tables = names.map((name, i) => {
    const table = normal([parts[i]!, C], 1, dtype);
    return [name, trained ? trainable(table) : table] as const;
  });
  const inputs: Record<string, LeafInput> = { ids: integers(N, V), ...Object.fromEntries(tables) };
  return opCase({
    name: `embedding ${dtype} [${N}] of [${parts.join(' + ')}, ${C}]${scale === 1 ? '' : ` × ${scale}`}`,
    inputs,
    build: (graph, leaves) => [
      embedding(
        graph,
        leaves['ids']!,
        names.map((name) => leaves[name]!),
        scale,
      ),
    ],
    forward: (values) => {
      const table = names.flatMap((name) => Array.from(values[name]!));
      return [lookup.embedding(values['ids']!, table, C, scale)];
    },
    backward: trained
      ? ({ ids }, dy) => {
          const dtable = lookup.embeddingBackward(ids!, dy, V, C, scale);
          let start = 0;
          return Object.fromEntries(
            names.map((name, i) => [name, dtable.slice(start, (start += parts[i]! * C))] as const),
          );
        }
      : undefined,
  });
}

function concatColumnsCase(rows: number, columns: readonly number[]): OpCase {
  const names = columns.map((_, i) => `x${i}`);
  const inputs: Record<string, LeafInput> = Object.fromEntries(
    names.map((name, i) => [name, trainable(normal([rows, columns[i]!]))] as const),
  );
  return opCase({
    name: `concatColumns ${rows} × ${columns.join(' + ')}`,
    inputs,
    build: (graph, leaves) => [
      concatColumns(
        graph,
        names.map((name) => leaves[name]!),
      ),
    ],
    forward: (values) => [
      sides.concatColumns(
        names.map((name) => values[name]!),
        columns,
      ),
    ],
    backward: (_, dy) => {
      const parts = sides.splitColumns(dy, columns);
      return Object.fromEntries(names.map((name, i) => [name, parts[i]!] as const));
    },
  });
}

/** The first of two parts comes back on the other side of the second. */
function splitColumnsCase(rows: number, [left, right]: readonly [number, number]): OpCase {
  const swapped = (x: Values, columns: readonly [number, number]) =>
    sides.concatColumns(sides.splitColumns(x, columns).toReversed(), columns.toReversed());
  return opCase({
    name: `splitColumns ${rows} × ${left} + ${right}`,
    inputs: { x: trainable(normal([rows, left + right])) },
    build: (graph, { x }) => [concatColumns(graph, splitColumns(graph, x, [left, right]).toReversed())],
    forward: ({ x }) => [swapped(x, [left, right])],
    backward: (_, dy) => ({ x: swapped(dy, [right, left]) }),
  });
}

/** A linear with a scale and an addend; weights of 16 bits are frozen, so only their input has a gradient. */
function linearCase(m: number, n: number, k: number, dtype: WeightDType): OpCase {
  const sizes = { m, n, k, transposeB: true, alpha: Math.fround(0.7) };
  const w = normal([n, k], 1, dtype);
  return opCase({
    name: `linear ${dtype} [${m}, ${k}] to ${n}`,
    inputs: {
      x: trainable(normal([m, k])),
      w: dtype === 'f32' ? trainable(w) : w,
      addend: trainable(normal([m, n])),
    },
    build: (graph, { x, w, addend }) => [linear(graph, x, w, { alpha: sizes.alpha, addend })],
    forward: ({ x, w, addend }) => [product.matmul(x, w, sizes, addend)],
    backward: ({ x, w }, dy) => {
      const { dx, dw, daddend } = product.linearBackward(x, w, dy, sizes);
      return { x: dx, ...(dtype === 'f32' ? { w: dw } : {}), addend: daddend };
    },
  });
}

/** Forward only: where the kernels' orientations are tried in f32, a type is tried in one of them. */
function frozenLinearCase(m: number, n: number, k: number, dtype: WeightDType): OpCase {
  return opCase({
    name: `frozen linear ${dtype} [${m}, ${k}] to ${n}`,
    inputs: { x: normal([m, k]), w: normal([n, k], 1, dtype) },
    build: (graph, { x, w }) => [linear(graph, x, w)],
    forward: ({ x, w }) => [product.matmul(x, w, { m, n, k, transposeB: true })],
  });
}

/** Products that only backward rules emit: dX = dY · W, dW = dYᵀ · X. */
function matmulCase(m: number, n: number, k: number, transposeA: boolean): OpCase {
  const sizes = { m, n, k, transposeA, alpha: Math.fround(-1.3) };
  return opCase({
    name: `matmul ${m} × ${n} × ${k}${transposeA ? ', Aᵀ' : ''}`,
    inputs: { a: normal(transposeA ? [k, m] : [m, k]), b: normal([k, n]), addend: normal([m, n]) },
    build: (graph, { a, b, addend }) => [matmul(graph, a, b, sizes), matmul(graph, a, b, { ...sizes, addend })],
    forward: ({ a, b, addend }) => [product.matmul(a, b, sizes), product.matmul(a, b, sizes, addend)],
  });
}

/** Two linears on one input: the second's gradient is folded into the first's product. */
const sharedInput = (m: number, n: number, k: number): OpCase => {
  const sizes = { m, n, k, transposeB: true };
  return opCase({
    name: `two linears on one input [${m}, ${k}] to ${n}, twice`,
    inputs: {
      x: trainable(normal([m, k])),
      w: trainable(normal([n, k])),
      u: trainable(normal([n, k])),
    },
    build: (graph, { x, w, u }) => {
      const once = linear(graph, x, w, { addend: linear(graph, x, u) });
      return [linear(graph, x, w, { addend: once })];
    },
    forward: ({ x, w, u }) => {
      const once = product.matmul(x, w, sizes, product.matmul(x, u, sizes));
      return [product.matmul(x, w, sizes, once)];
    },
    backward: ({ x, w, u }, dy) => {
      const byW = product.linearBackward(x, w, dy, sizes);
      const byU = product.linearBackward(x, u, dy, sizes);
      return { x: byW.dx.map((value, i) => 2 * value + byU.dx[i]!), w: byW.dw.map((value) => 2 * value), u: byU.dw };
    },
  });
};

/** x · xᵀ · uᵀ + x: one tensor on both sides of a product, whose gradient has a part already. */
const squareProduct: OpCase = opCase({
  name: 'a matrix times itself, and a skip [7, 20]',
  inputs: { x: trainable(normal([7, 20])), u: normal([20, 7]) },
  build: (graph, { x, u }) => [linear(graph, linear(graph, x, x), u, { addend: x })],
  forward: ({ x, u }) => {
    const square = product.matmul(x, x, { m: 7, n: 7, k: 20, transposeB: true });
    return [product.matmul(square, u, { m: 7, n: 20, k: 7, transposeB: true }, x)];
  },
  backward: ({ x, u }, dy) => {
    const dsquare = product.matmul(dy, u, { m: 7, n: 7, k: 20 });
    const { dx, dw } = product.linearBackward(x, x, dsquare, { m: 7, n: 7, k: 20 });
    return { x: dx.map((value, i) => value + dw[i]! + dy[i]!) };
  },
});

/** C = A · op(B) by ranges of 64 rows, and the same again added to it: how ops are made of products of views. */
const productOfRows: Op<{ readonly transposeB: boolean }> = {
  name: 'productOfRows',
  outputs: ([a, b], { transposeB }) => [{ shape: [a!.shape[0]!, b!.shape[transposeB ? 0 : 1]!], dtype: 'f32' }],
  kernels({ inputs: [a, b], outputs: [c], attrs: { transposeB } }, capabilities) {
    const rows = a!.shape[0]!;
    return [false, true].flatMap((accumulate) =>
      Array.from({ length: Math.ceil(rows / 64) }, (_, i) => 64 * i).flatMap((first) => {
        const count = Math.min(64, rows - first);
        const attrs = { transposeA: false, transposeB, alpha: 1, accumulate };
        const views = { inputs: [rowsOf(a!, first, count), b!], outputs: [rowsOf(c!, first, count)] };
        return matmulKernels({ ...views, attrs }, capabilities);
      }),
    );
  },
};

function productOfRowsCase(m: number, n: number, k: number, transposeB = false): OpCase {
  return opCase({
    name: `product of 64 rows at a time, ${m} × ${n} × ${k}${transposeB ? ', Bᵀ' : ''}`,
    inputs: { a: normal([m, k]), b: normal(transposeB ? [n, k] : [k, n]) },
    build: (graph, { a, b }) => [graph.apply1(productOfRows, [a, b], { transposeB })],
    forward: ({ a, b }) => [product.matmul(a, b, { m, n, k, transposeB, alpha: 2 })],
  });
}

function doraNormCase(out: number, columns: number, rank: number, dtype: WeightDType): OpCase {
  const sizes = { out, in: columns, rank, scaling: Math.fround(1.7) };
  return opCase({
    name: `doraNorm ${dtype} [${out}, ${columns}] r ${rank}`,
    inputs: { weight: normal([out, columns], 1, dtype), a: normal([rank, columns]), b: normal([out, rank]) },
    build: (graph, { weight, a, b }) => [doraNorm(graph, weight, a, b, sizes.scaling)],
    forward: ({ weight, a, b }) => [dora.doraNorm(weight, a, b, sizes)],
  });
}

function doraScaleCase(rows: number, columns: number): OpCase {
  const norm = normal([columns]);
  return opCase({
    name: `doraScale [${rows}, ${columns}]`,
    inputs: {
      x: trainable(normal([rows, columns])),
      magnitude: trainable(normal([columns])),
      norm: { ...norm, values: Float32Array.from(norm.values, (value) => 0.5 + Math.abs(value)) },
    },
    build: (graph, { x, magnitude, norm }) => [doraScale(graph, x, magnitude, norm)],
    forward: ({ x, magnitude, norm }) => [dora.doraScale(x, magnitude, norm)],
    backward: ({ x, magnitude, norm }, dy) => {
      const { dx, dmagnitude } = dora.doraScaleBackward(x, magnitude, norm, dy);
      return { x: dx, magnitude: dmagnitude };
    },
  });
}

const HALF_TYPES: readonly WeightDType[] = ['f16', 'bf16'];
const QUANTIZED_TYPES: readonly WeightDType[] = ['nf4', 'nf4_nested', 'q8'];

export const projectionCases: readonly OpCase[] = [
  ...WEIGHT_TYPES.flatMap((dtype) => [
    embeddingCase(7, [37], 20, dtype),
    embeddingCase(70, [33], 65, dtype),
    embeddingCase(70, [64, 64, 37], 20, dtype),
    embeddingCase(7, [20, 17], 20, dtype, 5.5),
    linearCase(7, 37, 20, dtype),
    linearCase(65, 33, 130, dtype),
    linearCase(3, 37, 21, dtype), // few rows: a workgroup an output
    linearCase(1, 130, 65, dtype),
    linearCase(2, 37, 260, dtype), // and a vector a lane
    doraNormCase(37, 20, 3, dtype),
    doraNormCase(3, 131, 7, dtype),
  ]),
  linearCase(5, 3, 65, 'f32'), // LoRA's A, and B below
  linearCase(65, 130, 3, 'f32'),
  matmulCase(33, 65, 7, false),
  matmulCase(20, 3, 37, true),
  // Whole vectors of four in every row: kernels of their own on software adapters, small sizes and large.
  linearCase(9, 36, 20, 'f32'),
  linearCase(12, 36, 20, 'f32'),
  linearCase(36, 68, 64, 'f32'),
  linearCase(68, 36, 64, 'f32'),
  matmulCase(36, 68, 12, false),
  matmulCase(36, 68, 12, true),
  ...HALF_TYPES.flatMap((dtype) => [frozenLinearCase(9, 36, 20, dtype), frozenLinearCase(33, 68, 64, dtype)]),
  // Quantised weights: blocks within a row and across rows, few rows and many.
  ...QUANTIZED_TYPES.flatMap((dtype) => [
    embeddingCase(7, [32], 20, dtype),
    embeddingCase(33, [64, 32], 20, dtype),
    linearCase(7, 32, 20, dtype),
    linearCase(3, 32, 20, dtype),
    linearCase(4, 36, 576, dtype),
    linearCase(65, 36, 128, dtype),
    linearCase(33, 132, 192, dtype),
    doraNormCase(32, 20, 3, dtype),
  ]),
  productOfRowsCase(130, 37, 21),
  productOfRowsCase(67, 5, 9, true), // the last rows are few
  productOfRowsCase(132, 20, 36),
  productOfRowsCase(144, 36, 68),
  concatColumnsCase(3, [37, 64, 5]),
  concatColumnsCase(7, [8, 20]),
  splitColumnsCase(5, [24, 8]),
  splitColumnsCase(33, [7, 12]),
  sharedInput(7, 37, 20),
  sharedInput(3, 5, 33),
  squareProduct,
  doraScaleCase(7, 20),
  doraScaleCase(65, 130),
];
