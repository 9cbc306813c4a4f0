/** What the device reaches at best: multiply-adds, our own plain product, a copy. Every other row is held against these. */
import type { Graph, Op } from '../../src/engine/graph/graph';
import { linear } from '../../src/engine/ops/matmul';
import { u32 } from '../../src/engine/graph/kernel';
import { timed, timeGraph, type Bench, type Ceilings } from './bench';
import { sampledError } from './kernels/matmul';
import { affordable } from './kernels/types';
import { normal } from './values';
import fmaCode from './fma.wgsl?raw';

const SIDES = [512, 1024, 2048, 4096];

/** Operations of a thread and round of fma.wgsl: 8 vectors of 4, two each. */
const FMA_FLOPS = 64;
const FMA_THREADS = 64 * 1024;

const COPY_BYTES = 64 * 2 ** 20;
const COPIES = 4;

const fmaOp: Op<{ rounds: number }> = {
  name: 'fma',
  outputs: () => [{ shape: [FMA_THREADS], dtype: 'f32' }],
  kernels: ({ outputs, attrs }) => [
    {
      shader: { name: 'fma', code: fmaCode },
      params: [u32(attrs.rounds)],
      bindings: outputs,
      workgroups: [FMA_THREADS / 64, 1, 1],
      flops: FMA_FLOPS * FMA_THREADS * attrs.rounds,
    },
  ],
};

export async function measureCeilings(bench: Bench): Promise<Ceilings> {
  const copy = await copyRate(bench);
  const fma = await fmaRate(bench);
  let matmul = 0;
  for (const side of SIDES) {
    if (matmul > 0 && affordable([0, side], (size) => 2 * size ** 3, matmul / 4) === 0) break;
    matmul = Math.max(matmul, await matmulRate(bench, side, fma));
  }
  return { matmul, copy };
}

async function copyRate(bench: Bench): Promise<number> {
  const { gpu } = bench.runner.device;
  const usage = GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const [from, to] = [0, 1].map(() => gpu.createBuffer({ size: COPY_BYTES, usage })) as [GPUBuffer, GPUBuffer];
  const milliseconds = await timed(bench, () => {
    const encoder = gpu.createCommandEncoder();
    for (let i = 0; i < COPIES; i++) encoder.copyBufferToBuffer(from, 0, to, 0, COPY_BYTES);
    gpu.queue.submit([encoder.finish()]);
    return gpu.queue.onSubmittedWorkDone();
  });
  from.destroy();
  to.destroy();
  const value = (2 * COPIES * COPY_BYTES) / milliseconds / 1e6;
  bench.add({ group: 'ceiling', name: 'buffer copy', shape: '64 MiB', value, unit: 'GB/s', milliseconds });
  return value;
}

async function fmaRate(bench: Bench): Promise<number> {
  let value = 0;
  // Enough rounds that a run takes a while, whatever the device.
  for (let rounds = 16, milliseconds = 0; milliseconds < 20; rounds *= 8) {
    const build = (graph: Graph) => [graph.apply1(fmaOp, [], { rounds })];
    const check = ([result]: Float32Array[]) => {
      // a ← a/2 + 1/4 tends to 1/2: 32 of them are 16.
      if (Math.abs(result![0]! - 16) > 0.01) throw new Error(`the chain of multiply-adds ended at ${result![0]}`);
    };
    const time = (await timeGraph(bench, {}, build, check)).get('fma')!;
    milliseconds = time.milliseconds;
    value = (FMA_FLOPS * FMA_THREADS * rounds) / milliseconds / 1e6;
  }
  bench.add({ group: 'ceiling', name: 'f32 multiply-adds', value, unit: 'GFLOP/s' });
  return value;
}

async function matmulRate(bench: Bench, side: number, fma: number): Promise<number> {
  const inputs = { x: normal([side, side]), w: normal([side, side]) };
  let error = NaN;
  const byOp = await timeGraph(
    bench,
    inputs,
    (graph, { x, w }) => [linear(graph, x, w)],
    ([y]) => {
      error = sampledError(y!, side, side, (row, column) => {
        let sum = 0;
        for (let i = 0; i < side; i++) sum += inputs.x.values[row * side + i]! * inputs.w.values[column * side + i]!;
        return sum;
      });
    },
  );
  const { milliseconds, kernels: note } = byOp.get('matmul')!;
  const value = (2 * side ** 3) / milliseconds / 1e6;
  const shape = `${side} × ${side} × ${side}`;
  const rates = { value, unit: 'GFLOP/s', milliseconds, ofCeiling: value / fma, error } as const;
  bench.add({ group: 'ceiling', name: 'f32 matmul', shape, ...rates, note: `${note}; of the multiply-adds` });
  return value;
}
