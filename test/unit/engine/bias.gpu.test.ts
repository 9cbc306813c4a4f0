/** A bias that a product adds as it stores its result: the bits are those of a kernel of its own. */
import { afterAll, describe, expect, it } from 'vitest';
import { fuseBiases } from '../../../src/engine/compile/bias';
import { addBias } from '../../../src/engine/ops/bias';
import { linear } from '../../../src/engine/ops/matmul';
import { testGpu } from '../../support/gpu';
import { openRunner, runGraph } from '../../support/graph-runner';
import { normal } from './cases/types';

const { gpu } = await testGpu();
const runner = await openRunner(gpu);
afterAll(() => runner.device.destroy());

/** For blocks and quads or tiles, for few rows, and for rows that are no whole vectors. */
const SHAPES = [
  { m: 36, n: 68, k: 64 },
  { m: 3, n: 40, k: 24 },
  { m: 9, n: 33, k: 10 },
];

describe.each([true, false])('software kernels: %s', (software) => {
  it.each(SHAPES)('$m × $n × $k', async ({ m, n, k }) => {
    const inputs = { x: normal([m, k]), w: normal([n, k], 1, 'bf16'), bias: normal([n]), addend: normal([m, n]) };
    const nodes: number[] = [];
    const results = (fuse: boolean) =>
      runGraph(
        { ...runner, capabilities: { ...runner.capabilities, software } },
        inputs,
        (graph, { x, w, bias, addend }) => {
          const alone = graph.keep(addBias(graph, linear(graph, x, w), bias));
          const added = graph.keep(addBias(graph, linear(graph, x, w, { alpha: 0.5, addend }), bias));
          // A product that something else reads too stays as it is.
          const product = linear(graph, x, w);
          const shared = graph.keep(addBias(graph, product, bias));
          graph.keep(product);
          if (fuse) fuseBiases(graph);
          nodes.push(graph.nodes.length);
          return { alone, added, shared, product };
        },
      );
    expect(await results(true)).toEqual(await results(false));
    expect(nodes).toEqual([4, 6]);
  });
});
