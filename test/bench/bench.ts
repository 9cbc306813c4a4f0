/** What all benches stand on: the device, its clock, its ceilings, and how a graph is timed. */
import type { KernelChoiceStore } from '../../src/core/kernel-choices';
import { byteSize, Graph, type Tensor } from '../../src/engine/graph/graph';
import { Profiler } from '../../src/engine/runtime/profile';
import { declareLeaves, placeGraph, type LeafInput, type Runner } from '../support/graph-runner';
import type { Row } from './report';

/** What this device reaches at best, measured in the same run. */
export interface Ceilings {
  /** Best plain f32 product, GFLOP/s. */
  readonly matmul: number;
  /** Buffer copy, GB/s, read and written bytes together. */
  readonly copy: number;
}

export interface Bench {
  readonly gpu: GPU;
  readonly runner: Runner;
  /** Milliseconds; of the wall, or of the CPU by core where the machine is shared. */
  readonly now: () => number;
  /** The clock of kernels where it isn't the GPU's own. */
  readonly kernelClock: (() => number) | undefined;
  /** Where choices among kernels are kept from one process to the next; absent, each measures its own. */
  readonly kernelChoices?: KernelChoiceStore;
  /** Whether a row with these names is wanted. */
  wanted(names: Partial<Row>): boolean;
  /** Shows and keeps a row. */
  add(row: Row): void;
}

/** Least and most runs that a median is taken of, and the time after which no further one starts. */
const LEAST_RUNS = 3;
const MOST_RUNS = 15;
const ENOUGH_MS = 1500;

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The median of what `run` returns, over as many runs as the time allows. */
export async function medianOf(run: () => Promise<number>): Promise<number> {
  const began = performance.now();
  const values: number[] = [];
  while (values.length < LEAST_RUNS || (values.length < MOST_RUNS && performance.now() - began < ENOUGH_MS)) {
    values.push(await run());
  }
  return median(values);
}

/** Milliseconds of `work` by the bench's clock, the median. */
export function timed(bench: Bench, work: () => Promise<unknown>): Promise<number> {
  return medianOf(async () => {
    const began = bench.now();
    await work();
    return bench.now() - began;
  });
}

/** All kernels of an op in one run. */
export interface OpTime {
  /** The median. */
  readonly milliseconds: number;
  /** Of the tensors that its kernels bind. */
  readonly bytes: number;
  /** Names of its kernels. */
  readonly kernels: string;
}

/** Runs a graph until its medians stand. `check` sees the results of the first run before anything is timed. */
export async function timeGraph<K extends string>(
  bench: Bench,
  inputs: Readonly<Record<K, LeafInput>>,
  build: (graph: Graph, leaves: Record<K, Tensor>) => readonly Tensor[],
  check: (results: Float32Array[]) => void,
): Promise<Map<string, OpTime>> {
  const { device, capabilities, runtime } = bench.runner;
  const graph = new Graph();
  const outputs = build(graph, declareLeaves(graph, inputs));
  outputs.forEach((output) => graph.keep(output));
  const ops = graph.liveNodes().flatMap((node) => node.op.kernels(node, capabilities).map(() => node.op.name));
  device.gpu.pushErrorScope('validation');
  const { memory, programs } = await placeGraph(bench.runner, graph, inputs, outputs);
  try {
    check(await memory.runAndRead('main', outputs));
    const invalid = await device.gpu.popErrorScope();
    if (invalid) throw new Error(invalid.message);

    const runs: number[][] = [];
    await medianOf(async () => {
      const profiler = new Profiler(device, bench.kernelClock);
      runtime.timer = profiler;
      try {
        await memory.run('main');
      } finally {
        runtime.timer = undefined;
        profiler.destroy();
      }
      runs.push(profiler.samples.map(({ milliseconds }) => milliseconds));
      return 0;
    });
    const byOp = new Map<string, OpTime>();
    for (const op of new Set(ops)) {
      const mine = programs.programs[0]!.kernels.map((kernel, i) => ({ kernel, i })).filter(({ i }) => ops[i] === op);
      const tensors = mine.flatMap(({ kernel }) =>
        [...new Set(kernel.bindings)].filter((tensor) => tensor !== undefined),
      );
      byOp.set(op, {
        milliseconds: median(runs.map((samples) => mine.reduce((sum, { i }) => sum + samples[i]!, 0))),
        bytes: tensors.reduce((sum, tensor) => sum + byteSize(tensor), 0),
        kernels: [...new Set(mine.map(({ kernel }) => kernel.shader.name))].join(', '),
      });
    }
    return byOp;
  } finally {
    memory.destroy();
  }
}
