/** Dropout that a product draws as it loads an operand: the bits are those of a kernel of its own. */
import { afterAll, describe, expect, it } from 'vitest';
import { fuseDropouts } from '../../../src/engine/compile/dropout';
import type { Graph, Tensor } from '../../../src/engine/graph/graph';
import { dropout } from '../../../src/engine/ops/dropout';
import { linear, matmul } from '../../../src/engine/ops/matmul';
import { testGpu } from '../../support/gpu';
import { openRunner, runGraph } from '../../support/graph-runner';
import { normal } from './cases/types';

const { gpu } = await testGpu();
const runner = await openRunner(gpu);
afterAll(() => runner.device.destroy());

const SEED = { shape: [1], dtype: 'u32', values: Uint32Array.of(0xfeed_5eed) } as const;

/** For octets or quads and strips, tiles and subgroups; past the last whole tile; for rows that are no whole vectors. */
const SHAPES = [
  { rows: 140, inner: 64, rank: 16 },
  { rows: 20, inner: 128, rank: 48 },
  { rows: 5, inner: 68, rank: 8 },
  { rows: 9, inner: 33, rank: 10 },
];

/** Runs a graph with its dropouts fused or not, and counts its nodes. */
function runsOf(build: (graph: Graph, tensors: Record<string, Tensor>) => Record<string, Tensor>) {
  return async (capabilities: object, inputs: Parameters<typeof runGraph>[1], fuse: boolean) => {
    let nodes = 0;
    const results = await runGraph(
      { ...runner, capabilities: { ...runner.capabilities, ...capabilities } },
      inputs,
      (graph, tensors) => {
        const built = build(graph, tensors);
        for (const tensor of Object.values(built)) graph.keep(tensor);
        if (fuse) fuseDropouts(graph);
        nodes = graph.liveNodes().length;
        return built;
      },
    );
    return { results, nodes };
  };
}

describe.each([true, false])('software kernels: %s', (software) => {
  it.each(SHAPES)('$rows rows of $inner, rank $rank', async ({ rows, inner, rank }) => {
    const inputs = {
      x: normal([rows, inner]),
      a: normal([rank, inner], 1, 'bf16'),
      du: normal([rows, rank]),
      partial: normal([rank, inner]),
      seed: SEED,
    };
    const run = runsOf((graph, { x, a, du, partial, seed }) => {
      const mask = { probability: 0.3, stream: 5, offset: 3 * inner };
      return {
        forward: linear(graph, dropout(graph, x!, seed!, mask), a!, { alpha: 0.5 }),
        weights: matmul(graph, du!, dropout(graph, x!, seed!, mask), { transposeA: true, addend: partial }),
      };
    });
    const apart = await run({ software }, inputs, false);
    const together = await run({ software }, inputs, true);
    expect(together.results).toEqual(apart.results);
    expect([apart.nodes, together.nodes]).toEqual([4, 2]);
  });
});

it('a dropout that something else reads too, or a product of many columns or few rows, is a kernel of its own', async () => {
  const inputs = { x: normal([8, 64]), w: normal([256, 64]), a: normal([8, 64]), few: normal([2, 64]), seed: SEED };
  const run = runsOf((graph, { x, w, a, few, seed }) => {
    const drop = (tensor: Tensor, stream: number) => dropout(graph, tensor, seed!, { probability: 0.5, stream });
    const shared = drop(x!, 1);
    return {
      shared,
      product: linear(graph, shared, a!),
      wide: linear(graph, drop(x!, 2), w!),
      rows: linear(graph, drop(few!, 3), a!),
      both: linear(graph, drop(x!, 4), drop(a!, 5)),
    };
  });
  const apart = await run({}, inputs, false);
  const together = await run({}, inputs, true);
  expect(together.results).toEqual(apart.results);
  expect(together.nodes).toBe(apart.nodes);
});
