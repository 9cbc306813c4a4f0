/** How fast a device computes, told in a moment by kernels such as a model is made of. */
import type { Rates } from '../graph/kernel';
import { leafBuffers } from '../compile/layout';
import { planPrograms } from '../compile/plan';
import { Graph } from '../graph/graph';
import type { Tensor } from '../graph/tensor';
import { attention } from '../ops/attention';
import { linear } from '../ops/matmul';
import { Memory } from './memory';
import { fillRandomly } from './random-operands';
import type { Runtime } from './runtime';

/** Something to measure: the graph of its result, of operands that it asks for by their shapes. */
export type Work = (graph: Graph, operand: (...shape: number[]) => Tensor) => Tensor;

const product =
  (rows: number, inputs: number, outputs: number): Work =>
  (graph, operand) =>
    linear(graph, operand(rows, inputs), operand(outputs, inputs));

/** A causal sequence of `length` tokens, with eight heads of 64. */
const sequence =
  (length: number): Work =>
  (graph, operand) => {
    const [q, k, v] = [operand(length, 512), operand(length, 512), operand(length, 512)];
    const start = graph.leaf('start', { shape: [1], dtype: 'u32' }, 'workspace');
    return attention(graph, q, k, v, { start }, { batch: 1, length, keys: length, heads: 8, kvHeads: 8, headDim: 64 });
  };

/** Flops a second from which on small work says more of submits than of arithmetic. */
const FAST = 1e11;

/** Runs in a row last this long at least, in milliseconds: browsers round their clocks. */
const LEAST_MS = 20;
const MOST_RUNS = 1024;

/** A kind of work: what a CPU does in some ten milliseconds, and what fills a card. */
export interface WorkKind {
  readonly small: Work;
  readonly large: Work;
}

export const PRODUCTS: WorkKind = { small: product(256, 512, 512), large: product(2048, 2048, 2048) };
export const ATTENTION: WorkKind = { small: sequence(256), large: sequence(4096) };

/** @returns flops a second of products in f32, at best of three. @throws `out-of-memory` */
export function measureRate(runtime: Runtime): Promise<number> {
  return rateOf(PRODUCTS, (work) => measureWork(runtime, work));
}

/** Flops a second of each kind of work that is cut into dispatches. Throws `out-of-memory`. */
export async function measureRates(runtime: Runtime): Promise<Rates> {
  const measure = (work: Work) => measureWork(runtime, work);
  return { products: await rateOf(PRODUCTS, measure), attention: await rateOf(ATTENTION, measure) };
}

/** Whatever the rate of another kind: the large work is one dispatch, which a device that is slow at its kind is held by. */
export async function rateOf({ small, large }: WorkKind, measure: (work: Work) => Promise<number>): Promise<number> {
  const rate = await measure(small);
  return rate < FAST ? rate : Math.max(rate, await measure(large));
}

async function measureWork(runtime: Runtime, work: Work): Promise<number> {
  const graph = new Graph();
  const operands: Tensor[] = [];
  const operand = (...shape: number[]) => {
    const leaf = graph.leaf(`operand ${operands.length}`, { shape, dtype: 'f32' }, 'workspace');
    operands.push(leaf);
    return leaf;
  };
  graph.keep(work(graph, operand));
  const plan = planPrograms(new Map([['work', graph]]), runtime.capabilities);
  const flops = plan.programs.flatMap(({ kernels }) => kernels).reduce((sum, kernel) => sum + kernel.flops, 0);
  const memory = await Memory.allocate(runtime, plan, leafBuffers(plan, []), 4);
  const { gpu } = runtime.device;
  const time = async (runs: number) => {
    const started = performance.now();
    for (let run = 0; run < runs; run++) await memory.run('work');
    await runtime.device.wait(gpu.queue.onSubmittedWorkDone());
    return performance.now() - started;
  };
  try {
    for (const leaf of operands) fillRandomly(memory, leaf);
    await time(1); // compiles it, and wakes the device
    let runs = 1;
    while (runs < MOST_RUNS && (await time(runs)) < LEAST_MS) runs *= 2;
    const best = Math.min(await time(runs), await time(runs), await time(runs));
    return (flops * runs * 1000) / best;
  } finally {
    memory.destroy();
  }
}
