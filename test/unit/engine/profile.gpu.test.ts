/** Profiling: what is counted, by whichever clock, and that it changes no result. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Graph, type Tensor } from '../../../src/engine/graph/graph';
import { add } from '../../../src/engine/ops/add';
import { linear } from '../../../src/engine/ops/matmul';
import { Profiler } from '../../../src/engine/runtime/profile';
import { openRunner, placeGraph, type Runner } from '../../support/graph-runner';
import { testGpu } from '../../support/gpu';
import { normal } from './cases/types';

const { gpu } = await testGpu();
let runner: Runner;
beforeAll(async () => {
  runner = await openRunner(gpu);
});
afterAll(() => runner.device.destroy());

const SIZE = 64;
const LAYERS = 5;
const inputs = { x: normal([SIZE, SIZE]), w: normal([SIZE, SIZE], 1 / 8) };

/** x + w-linear of x, five times over. */
function chain(): { graph: Graph; y: Tensor } {
  const graph = new Graph();
  const leaf = (name: 'x' | 'w') => graph.leaf(name, { shape: [SIZE, SIZE], dtype: 'f32' }, 'workspace');
  let y = leaf('x');
  for (let i = 0; i < LAYERS; i++) y = add(graph, y, linear(graph, y, leaf('w')));
  return { graph, y };
}

async function run(profiler?: Profiler) {
  const { graph, y } = chain();
  const { memory } = await placeGraph(runner, graph, inputs, [y]);
  runner.runtime.timer = profiler;
  try {
    const [values] = await memory.runAndRead('main', [y]);
    return { values, profile: profiler?.report() };
  } finally {
    runner.runtime.timer = undefined;
    profiler?.destroy();
    memory.destroy();
  }
}

describe.each([
  ['the GPU’s clock', undefined],
  ['a clock outside', () => performance.now()],
])('by %s', (_, clock) => {
  it('counts every call, its work and its bytes, and gives the bits of a plain run', async () => {
    const { values, profile } = await run(new Profiler(runner.device, clock));
    expect(values).toEqual((await run()).values);
    const adds = profile!.kernels.filter(({ kernel }) => kernel === 'pointwise/add');
    const products = profile!.kernels.filter(({ kernel }) => kernel !== 'pointwise/add');
    expect(adds).toMatchObject([{ calls: LAYERS, shapes: '64×64', flops: LAYERS * 2 * SIZE ** 2 }]);
    expect(adds[0]!.bytes).toBe(LAYERS * 2 * 4 * SIZE ** 2); // bound bytes: the sum takes an operand's place
    expect(products).toMatchObject([{ calls: LAYERS, shapes: '64×64', flops: LAYERS * 2 * SIZE ** 3 }]);
  });

  it('gives each kernel its share of the sum', async () => {
    const { profile } = await run(new Profiler(runner.device, clock));
    const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0);
    expect(profile!.milliseconds).toBeGreaterThan(0);
    expect(sum(profile!.kernels.map((time) => time.milliseconds))).toBeCloseTo(profile!.milliseconds, 6);
    expect(sum(profile!.kernels.map((time) => time.share))).toBeCloseTo(1, 6);
    const slowestFirst = profile!.kernels.toSorted((a, b) => b.milliseconds - a.milliseconds);
    expect(profile!.kernels).toEqual(slowestFirst);
  });
});

describe('a clock that says two milliseconds a kernel', () => {
  it('is what the report goes by', async () => {
    // Every submit is between two readings: empty ones cost 1 ms, those with a kernel 3 ms.
    const submitAsEver = runner.device.gpu.queue.submit;
    const submit = vi.spyOn(runner.device.gpu.queue, 'submit');
    let now = 0;
    let dispatches = 0;
    const encode = vi.spyOn(GPUComputePassEncoder.prototype, 'dispatchWorkgroups');
    submit.mockImplementation(function (this: GPUQueue, buffers) {
      now += encode.mock.calls.length > dispatches ? 3 : 1;
      dispatches = encode.mock.calls.length;
      return submitAsEver.call(this, buffers);
    });
    const { profile } = await run(new Profiler(runner.device, () => now));
    submit.mockRestore();
    encode.mockRestore();
    expect(profile!.clock).toBe('submits');
    expect(profile!.milliseconds).toBeCloseTo(2 * 2 * LAYERS);
  });
});

describe('a device without timestamps', () => {
  it('is timed from outside', async () => {
    const plain = await openRunner(gpu, { withoutFeatures: ['timestamp-query'] });
    const profiler = new Profiler(plain.device);
    expect(profiler.report()).toEqual({ clock: 'submits', resolution: 0, milliseconds: 0, kernels: [] });
    plain.device.destroy();
  });
});
