/**
 * Which kernel of a product runs is chosen by time alone: all of them, those for cards and those for CPU adapters, give
 * the same bits, and the right ones.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { WeightDType } from '../../../src/core/dtypes';
import { Graph } from '../../../src/engine/graph/graph';
import type { KernelCapabilities } from '../../../src/engine/graph/kernel';
import { matmul } from '../../../src/engine/ops/matmul';
import * as reference from '../../reference/matmul';
import { relativeError } from '../../support/compare';
import { declareLeaves, openRunner, runGraph, type Runner } from '../../support/graph-runner';
import { testGpu } from '../../support/gpu';
import { normal } from './cases/types';

const FORWARD = { name: 'X · Wᵀ', transposeA: false, transposeB: true };
const INPUT_GRADIENT = { name: 'dY · W', transposeA: false, transposeB: false };
const WEIGHT_GRADIENT = { name: 'dYᵀ · X', transposeA: true, transposeB: false };

interface Orientation {
  readonly name: string;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

/** Types reach a kernel through one function alone, but for NF4: not every other needs to be turned every way. */
const PRODUCTS: readonly (Orientation & { dtype: WeightDType })[] = [
  { ...FORWARD, dtype: 'f32' },
  { ...INPUT_GRADIENT, dtype: 'f32' },
  { ...WEIGHT_GRADIENT, dtype: 'f32' },
  { ...FORWARD, dtype: 'f16' },
  { ...INPUT_GRADIENT, dtype: 'bf16' },
  { ...FORWARD, dtype: 'q8' },
  { ...FORWARD, dtype: 'nf4' },
  { ...INPUT_GRADIENT, dtype: 'nf4' },
  { ...FORWARD, dtype: 'nf4_nested' },
  { ...INPUT_GRADIENT, dtype: 'nf4_nested' },
];

/** More than a tile each way with the last in part and K no multiple of any tile's; tiles that are mostly padding. */
const SHAPES = [
  { m: 140, n: 132, k: 208 },
  { m: 128, n: 256, k: 64 },
  { m: 20, n: 48, k: 76 },
  { m: 96, n: 16, k: 132 }, // LoRA's rank
];

const { gpu } = await testGpu();
let runner: Runner;
beforeAll(async () => {
  runner = await openRunner(gpu);
});
afterAll(() => runner.device.destroy());

describe.each(PRODUCTS)('$name with $dtype', ({ dtype, transposeA, transposeB }) => {
  it.each(SHAPES)('$m × $n × $k', async ({ m, n, k }) => {
    const inputs = {
      a: normal(transposeA ? [k, m] : [m, k]),
      b: normal(transposeB ? [n, k] : [k, n], 1, dtype),
      addend: normal([m, n]),
    };
    const options = { transposeA, transposeB, alpha: Math.fround(0.7) };
    const names = (capabilities: KernelCapabilities) => {
      const graph = new Graph();
      const { a, b } = declareLeaves(graph, inputs);
      matmul(graph, a, b, options);
      const [node] = graph.nodes;
      const [kernel] = node!.op.kernels(node!, capabilities);
      return [...(kernel!.variants?.kernels.keys() ?? [undefined])];
    };
    const results = new Map<string, Float32Array>();
    for (const software of [false, true]) {
      const capabilities = { ...runner.capabilities, software };
      for (const variant of names(capabilities)) {
        const { c } = await runGraph({ ...runner, capabilities, variant }, inputs, (graph, { a, b, addend }) => ({
          c: matmul(graph, a, b, { ...options, addend }),
        }));
        results.set(`${variant} on a ${software ? 'CPU' : 'card'}`, c);
      }
    }
    const [first, ...others] = results.values();
    const expected = reference.matmul(inputs.a.values, inputs.b.values, { ...options, m, n, k }, inputs.addend.values);
    expect(relativeError(first!, expected)).toBeLessThan(1e-5);
    expect(others.length).toBeGreaterThanOrEqual(4);
    const differing = [...results].filter(([, values]) => values.some((value, i) => !Object.is(value, first![i])));
    expect(differing.map(([name]) => name)).toEqual([]);
  });
});
