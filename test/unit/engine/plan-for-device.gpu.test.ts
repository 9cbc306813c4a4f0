/** A slow device takes a session's work in smaller dispatches, to the same bits. */
import { afterEach, expect, it } from 'vitest';
import type { ModelSetup } from '../../../src/engine';
import type { Rates } from '../../../src/engine/graph/kernel';
import { dispatchFlops } from '../../../src/engine/ops/cutting';
import { Runtime } from '../../../src/engine/runtime/runtime';
import { planForDevice } from '../../../src/engine/session/plan-for-device';
import { GpuSession } from '../../../src/engine/session/session';
import { tinySpec } from '../../support/decoder-spec';
import { countingGpu } from '../../support/counting-gpu';
import { testGpu } from '../../support/gpu';
import { randomWeights } from '../../support/random-weights';
import { wrapGpu } from '../../support/wrapped-gpu';

const { gpu } = await testGpu();

/** Wide enough for products that a rate of 1 GFLOP/s cuts: 1.07 GFLOP. */
const TOKENS = 256;
const spec = { ...tinySpec, hiddenSize: 512, intermediateSize: 4096, numLayers: 1, numHeads: 8, headDim: 64 };
const setup: ModelSetup = { spec, weightDType: 'bf16' };
const views = { forward: { batchSize: 1, lengths: [TOKENS], gradients: false } };
const ids = Array.from({ length: TOKENS }, (_, i) => (i * 7) % spec.vocabSize);

/** What a dispatch's parameters take. */
const PARAMS_BYTES = 256;

const opened: Runtime[] = [];
afterEach(() => opened.splice(0).forEach((runtime) => runtime.device.destroy()));

async function open(rates?: Rates, on = gpu): Promise<Runtime> {
  const runtime = await Runtime.open(on);
  opened.push(runtime);
  runtime.rates = rates;
  return runtime;
}

async function runOn(runtime: Runtime) {
  const { memory, programs } = await planForDevice(runtime, setup, views);
  const session = await GpuSession.create(runtime, setup, views, randomWeights(spec, 'bf16'));
  const { logits } = await session.views.forward.run({ inputIds: [ids], labels: [ids] });
  session.dispose();
  const flops = programs.programs.flatMap(({ kernels }) => kernels.map((kernel) => kernel.flops));
  return { logits, memory, dispatches: flops.length, most: Math.max(...flops) };
}

it('is cut by its rates: more dispatches, no more bytes but their parameters, the same bits', async () => {
  const fast = await runOn(await open({ products: 1e13, attention: 1e13 }));
  const slow = await runOn(await open({ products: 1e9, attention: 1e9 }));
  expect(fast.most).toBeGreaterThan(2 * dispatchFlops(1e9));
  expect(slow.most).toBeLessThan(2 * dispatchFlops(1e9));
  expect(slow.dispatches).toBeGreaterThan(fast.dispatches);
  expect(slow.memory.totalBytes).toBe(fast.memory.totalBytes + PARAMS_BYTES * (slow.dispatches - fast.dispatches));
  expect(slow.logits).toEqual(fast.logits);
});

it('is measured once, before the first session that has a dispatch of which it matters', async () => {
  const runtime = await open();
  await planForDevice(runtime, { ...setup, spec: tinySpec }, views);
  expect(runtime.rates).toBeUndefined();
  await planForDevice(runtime, setup, views);
  const { rates } = runtime;
  expect(rates!.products).toBeGreaterThan(1e7);
  expect(rates!.attention).toBeGreaterThan(1e7);
  await planForDevice(runtime, setup, views);
  expect(runtime.rates).toBe(rates);
});

it('is measured by one of the sessions that are opened side by side', async () => {
  const measuring = async (sessions: number) => {
    const { gpu: counted, counts } = countingGpu(gpu);
    const runtime = await open(undefined, counted);
    await Promise.all(Array.from({ length: sessions }, () => planForDevice(runtime, setup, views)));
    expect(runtime.rates).toBeDefined();
    expect(counts.destroyed).toBe(counts.created);
    return counts.bound;
  };
  expect(await measuring(3)).toBe(await measuring(1));
});

it('that has no room to be measured plans as a fast one does, and leaves nothing behind', async () => {
  const { gpu: counted, counts } = countingGpu(
    wrapGpu(gpu, {
      onDevice: (device) => {
        const createBuffer = device.createBuffer.bind(device);
        device.createBuffer = (descriptor) => {
          return createBuffer(descriptor.label === 'operand 1' ? { ...descriptor, size: 2 ** 50 } : descriptor);
        };
      },
    }),
  );
  const runtime = await open(undefined, counted);
  const fast = await planForDevice(await open({ products: 1e13, attention: 1e13 }), setup, views);
  expect((await planForDevice(runtime, setup, views)).memory).toEqual(fast.memory);
  expect(runtime.rates).toBeUndefined();
  expect(counts.created).toBeGreaterThan(0);
  expect(counts.destroyed).toBe(counts.created);
});

it('that is lost while it is measured says so', async () => {
  const runtime = await open();
  const planning = planForDevice(runtime, setup, views);
  runtime.device.destroy();
  await expect(planning).rejects.toMatchObject({ code: 'device-lost' });
  expect(runtime.rates).toBeUndefined();
});
