/** A slow device takes a session's work in smaller dispatches, to the same bits. */
import { afterEach, expect, it } from 'vitest';
import type { ModelSetup } from '../../../src/engine';
import type { Rates } from '../../../src/engine/graph/kernel';
import { dispatchFlops } from '../../../src/engine/ops/cutting';
import { Runtime } from '../../../src/engine/runtime/runtime';
import { planForDevice } from '../../../src/engine/session/plan-for-device';
import { GpuSession } from '../../../src/engine/session/session';
import { tinySpec } from '../../support/decoder-spec';
import { testGpu } from '../../support/gpu';
import { randomWeights } from '../../support/random-weights';

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

async function open(rates?: Rates): Promise<Runtime> {
  const runtime = await Runtime.open(gpu);
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
