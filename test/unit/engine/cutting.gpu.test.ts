/** A product in bands of rows gives the bits of one in a single dispatch, whichever kernel runs. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Graph, type Op } from '../../../src/engine/graph/graph';
import type { KernelCapabilities } from '../../../src/engine/graph/kernel';
import { matmulKernels } from '../../../src/engine/ops/matmul';
import { openRunner, runGraph, type Runner } from '../../support/graph-runner';
import { testGpu } from '../../support/gpu';
import { normal } from './cases/types';

let runner: Runner;
beforeAll(async () => {
  runner = await openRunner((await testGpu()).gpu);
});
afterAll(() => runner.device.destroy());

interface Attrs {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly dispatches: number;
}

/** C = op(A) · op(B), and the same added to it, so that an element that two bands compute shows. */
const productInBands: Op<Attrs> = {
  name: 'productInBands',
  outputs: ([a, b], { transposeA, transposeB }) => [
    { shape: [a!.shape[transposeA ? 1 : 0]!, b!.shape[transposeB ? 0 : 1]!], dtype: 'f32' },
  ],
  kernels: ({ inputs, outputs, attrs: { dispatches, ...turned } }, capabilities) =>
    [false, true].flatMap((accumulate) =>
      matmulKernels({ inputs, outputs, attrs: { ...turned, alpha: 1, accumulate } }, capabilities, dispatches),
    ),
};

const [m, n, k] = [300, 68, 96];

describe.each([
  [false, true],
  [true, false],
])('transposed %s and %s', (transposeA, transposeB) => {
  const inputs = { a: normal(transposeA ? [k, m] : [m, k]), b: normal(transposeB ? [n, k] : [k, n]) };

  const variants = (capabilities: KernelCapabilities) => {
    const graph = new Graph();
    const leaf = (name: 'a' | 'b') => graph.leaf(name, { shape: inputs[name].shape, dtype: 'f32' }, 'workspace');
    graph.apply(productInBands, [leaf('a'), leaf('b')], { transposeA, transposeB, dispatches: 3 });
    const kernels = graph.nodes[0]!.op.kernels(graph.nodes[0]!, capabilities);
    expect(kernels).toHaveLength(6);
    return [...(kernels[0]!.variants?.kernels.keys() ?? [undefined])];
  };

  it.each([true, false])('by the kernels of a CPU: %s', async (software) => {
    const capabilities = { ...runner.capabilities, software };
    const run = async (dispatches: number, variant: string | undefined) => {
      const { c } = await runGraph({ ...runner, capabilities, variant }, inputs, (graph, { a, b }) => ({
        c: graph.apply1(productInBands, [a, b], { transposeA, transposeB, dispatches }),
      }));
      return c;
    };
    const names = variants(capabilities);
    const whole = await run(1, names[0]);
    expect(whole.every((value) => value !== 0)).toBe(true);
    for (const variant of names) {
      const bands = await run(3, variant);
      expect(bands, variant).toEqual(whole);
    }
  });
});
