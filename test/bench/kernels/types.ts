/** A bench of kernels: a graph, the reference that its first run is held against, and what its ops are worth. */
import type { Graph, Tensor } from '../../../src/engine/graph/graph';
import type { LeafInput } from '../../support/graph-runner';
import { timeGraph, type Bench, type Ceilings } from '../bench';
import type { Row } from '../report';

/** Relative, by norm: f32 on the GPU against f64. */
const TOLERANCE = 1e-4;

/** How long one run may take at the rate of the ceiling, in milliseconds: sizes are chosen by it. */
const RUN_MS = 250;

export interface KernelBench<K extends string = string> {
  readonly names: Pick<Row, 'name' | 'model' | 'dtype' | 'shape'>;
  inputs(): Readonly<Record<K, LeafInput>>;
  build(graph: Graph, leaves: Record<K, Tensor>): readonly Tensor[];
  /** Relative error of the results. */
  check(inputs: Readonly<Record<K, LeafInput>>, results: readonly Float32Array[]): number;
  /** Operations by op; the rate of an op that is not named is the bytes that it moves. */
  readonly flops?: Readonly<Record<string, number>>;
}

/** Checks a bench's names where it is written; lists of benches forget them. */
export function kernelBench<K extends string>(definition: KernelBench<K>): KernelBench {
  return definition;
}

/** The largest of `sizes` that a run of `flops(size)` operations bears at `rate` GFLOP/s; the first where none does. */
export function affordable(sizes: readonly number[], flops: (size: number) => number, rate: number): number {
  return sizes.findLast((size) => flops(size) / (rate * 1e6) <= RUN_MS) ?? sizes[0]!;
}

/** A row an op. Returns the rates by op, GFLOP/s or GB/s. */
export async function runKernelBench(bench: Bench, ceilings: Ceilings, kernels: KernelBench): Promise<void> {
  const row = { group: 'kernel', ...kernels.names };
  if (!bench.wanted(row)) return;
  const inputs = kernels.inputs();
  const limit = bench.runner.device.info.maxBindingBytes;
  const largest = Math.max(...Object.values(inputs).map(({ words, values }) => words?.byteLength ?? 4 * values.length));
  if (largest > limit) {
    const mib = (bytes: number) => Math.round(bytes / 2 ** 20);
    return bench.add({ ...row, skipped: `a tensor of ${mib(largest)} MiB, and a binding holds ${mib(limit)}` });
  }
  let error = NaN;
  const byOp = await timeGraph(bench, inputs, kernels.build, (results) => {
    error = kernels.check(inputs, results);
    if (!(error < TOLERANCE)) throw new Error(`${row.name} ${row.shape} is wrong: relative error ${error}`);
  });
  for (const [op, { milliseconds, bytes, kernels: note }] of byOp) {
    const flops = kernels.flops?.[op];
    const value = (flops ?? bytes) / milliseconds / 1e6;
    const name = byOp.size === 1 ? row.name : `${row.name}: ${op}`;
    const ofCeiling = value / (flops === undefined ? ceilings.copy : ceilings.matmul);
    const unit = flops === undefined ? 'GB/s' : 'GFLOP/s';
    bench.add({ ...row, name, value, unit, milliseconds, ofCeiling, error, note });
  }
}
