/** How fast a device computes, told in a moment: by products such as a model is made of. */
import { leafBuffers } from '../compile/layout';
import { planPrograms } from '../compile/plan';
import { Graph } from '../graph/graph';
import { linear } from '../ops/matmul';
import { Memory } from './memory';
import { fillRandomly } from './random-operands';
import type { Runtime } from './runtime';

/** Rows, inputs and outputs of a product that a CPU does in some ten milliseconds, and of one that fills a card. */
const SMALL = [256, 512, 512] as const;
const LARGE = [2048, 2048, 2048] as const;

/** Flops a second from which on the small product says more of submits than of arithmetic. */
const FAST = 1e11;

/** Runs of a product in a row last this long at least, in milliseconds: browsers round their clocks. */
const LEAST_MS = 20;
const MOST_RUNS = 1024;

/** @returns flops a second of products in f32, at best of three. @throws `out-of-memory` */
export async function measureRate(runtime: Runtime): Promise<number> {
  const rate = await measureProduct(runtime, SMALL);
  return rate < FAST ? rate : Math.max(rate, await measureProduct(runtime, LARGE));
}

async function measureProduct(runtime: Runtime, [rows, inputs, outputs]: readonly [number, number, number]) {
  const graph = new Graph();
  const leaf = (name: string, shape: number[]) => graph.leaf(name, { shape, dtype: 'f32' }, 'workspace');
  const operands = [leaf('x', [rows, inputs]), leaf('w', [outputs, inputs])] as const;
  graph.keep(linear(graph, ...operands));
  const plan = planPrograms(new Map([['product', graph]]), runtime.capabilities);
  const memory = await Memory.allocate(runtime, plan, leafBuffers(plan, []), 4);
  const { gpu } = runtime.device;
  const time = async (runs: number) => {
    const started = performance.now();
    for (let run = 0; run < runs; run++) await memory.run('product');
    await runtime.device.wait(gpu.queue.onSubmittedWorkDone());
    return performance.now() - started;
  };
  try {
    for (const operand of operands) fillRandomly(memory, operand);
    await time(1); // compiles it, and wakes the device
    let runs = 1;
    while (runs < MOST_RUNS && (await time(runs)) < LEAST_MS) runs *= 2;
    const best = Math.min(await time(runs), await time(runs), await time(runs));
    return (2 * rows * inputs * outputs * runs * 1000) / best;
  } finally {
    memory.destroy();
  }
}
