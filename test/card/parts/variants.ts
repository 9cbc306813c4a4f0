/** Every kernel of a product: against a plain loop, bit for bit against each other, and how long each takes. */
import { findGpu } from '../../../src/cli/gpu';
import type { WeightDType } from '../../../src/core/dtypes';
import { Graph } from '../../../src/engine/graph/graph';
import { matmul } from '../../../src/engine/ops/matmul';
import { measure } from '../../../src/engine/runtime/tuner';
import * as reference from '../../reference/matmul';
import { relativeError } from '../../support/compare';
import { openRunner, runGraph, type Runner } from '../../support/graph-runner';
import { normal } from '../../unit/engine/cases/types';
import type { Part, Tell } from '../types';

const TOLERANCE = 1e-5;

interface Turned {
  readonly title: string;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

const FORWARD: Turned = { title: 'X · Wᵀ', transposeA: false, transposeB: true };
const INPUT_GRADIENT: Turned = { title: 'dY · W', transposeA: false, transposeB: false };
const WEIGHT_GRADIENT: Turned = { title: 'dYᵀ · X', transposeA: true, transposeB: false };

const PRODUCTS: readonly (Turned & { readonly dtype: WeightDType })[] = [
  { ...FORWARD, dtype: 'f32' },
  { ...WEIGHT_GRADIENT, dtype: 'f32' },
  { ...FORWARD, dtype: 'bf16' },
  { ...INPUT_GRADIENT, dtype: 'bf16' },
  { ...FORWARD, dtype: 'f16' },
  { ...FORWARD, dtype: 'q8' },
  { ...FORWARD, dtype: 'nf4_nested' },
  { ...INPUT_GRADIENT, dtype: 'nf4_nested' },
];

/** More than a tile each way with the last in part; LoRA's rank. */
const CHECKED = [
  { m: 140, n: 132, k: 208 },
  { m: 96, n: 16, k: 132 },
];

/** Products of a step of Llama-3.2-1B with 2048 tokens: a linear, and LoRA's A. */
const TIMED = [
  { m: 2048, n: 8192, k: 2048 },
  { m: 2048, n: 16, k: 2048 },
];

export const variants: Part = async ({ size }, tell) => {
  const runner = await openRunner(await findGpu(process.env['GRAFT_ADAPTER']));
  const products = size === 'full' ? PRODUCTS : PRODUCTS.filter((_, i) => i % 3 === 0);
  for (const product of products) {
    for (const shape of size === 'full' ? CHECKED : CHECKED.slice(1)) {
      await attempt(tell, `${product.title} ${product.dtype} ${sizes(shape)}`, () => check(runner, product, shape));
    }
  }
  for (const product of products) {
    for (const shape of TIMED) {
      await attempt(tell, `bits of ${product.title} ${product.dtype} ${sizes(shape)}`, async () => {
        const { variants: found } = kernelOf(runner, product, shape);
        if (!found) return { passed: true, detail: 'one kernel alone' };
        const choice = await measure(runner.runtime, found.sample());
        if (!choice) return { passed: false, detail: 'no room to measure' };
        tell({ kind: 'choice', shapeClass: found.shapeClass, choice });
        const differing = choice.differing ?? [];
        return {
          passed: differing.length === 0,
          detail: `${found.shapeClass}; differing: ${differing.join() || 'none'}`,
        };
      });
    }
  }
};

type Shape = (typeof CHECKED)[number];
type Product = (typeof PRODUCTS)[number];

const sizes = ({ m, n, k }: Shape) => `${m} × ${n} × ${k}`;

async function attempt(tell: Tell, name: string, run: () => Promise<{ passed: boolean; detail: string }>) {
  try {
    tell({ kind: 'check', name, ...(await run()) });
  } catch (error) {
    tell({ kind: 'check', name, passed: false, detail: (error as Error).message });
  }
}

const operandShapes = ({ transposeA, transposeB }: Product, { m, n, k }: Shape) => ({
  a: transposeA ? [k, m] : [m, k],
  b: transposeB ? [n, k] : [k, n],
});

function kernelOf(runner: Runner, product: Product, shape: Shape) {
  const graph = new Graph();
  const { a, b } = operandShapes(product, shape);
  matmul(
    graph,
    graph.leaf('a', { shape: a, dtype: 'f32' }, 'workspace'),
    graph.leaf('b', { shape: b, dtype: product.dtype }, 'workspace'),
    product,
  );
  const [node] = graph.nodes;
  return node!.op.kernels(node!, runner.capabilities)[0]!;
}

async function check(runner: Runner, product: Product, shape: Shape) {
  const { a, b } = operandShapes(product, shape);
  const inputs = { a: normal(a), b: normal(b, 1, product.dtype) };
  const expected = reference.matmul(inputs.a.values, inputs.b.values, { ...product, ...shape });
  const names = [...(kernelOf(runner, product, shape).variants?.kernels.keys() ?? ['the only one'])];
  const wrong: string[] = [];
  let first: Float32Array | undefined;
  let worst = 0;
  for (const variant of names) {
    const { c } = await runGraph({ ...runner, variant }, inputs, (graph, leaves) => ({
      c: matmul(graph, leaves.a, leaves.b, product),
    }));
    first ??= c;
    const error = relativeError(c, expected);
    worst = error <= worst ? worst : error;
    if (!(error < TOLERANCE)) wrong.push(`${variant} is off by ${error.toExponential(1)}`);
    else if (c.some((value, i) => !Object.is(value, first![i]))) wrong.push(`${variant} has other bits`);
  }
  const detail = wrong.join('; ') || `${names.length} kernels, relative error ${worst.toExponential(1)}, the same bits`;
  return { passed: wrong.length === 0, detail };
}
