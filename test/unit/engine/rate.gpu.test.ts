/** How fast the device is, told by its own products, and nothing left of what that took. */
import { expect, it } from 'vitest';
import { measureRate } from '../../../src/engine/runtime/rate';
import { Runtime } from '../../../src/engine/runtime/runtime';
import { countingGpu } from '../../support/counting-gpu';
import { testGpu } from '../../support/gpu';

const { gpu } = await testGpu();

it('gives a rate that a processor or a card may have, and its buffers back', async () => {
  const { gpu: counted, counts } = countingGpu(gpu);
  const runtime = await Runtime.open(counted, {});
  const rate = await measureRate(runtime);
  expect(rate).toBeGreaterThan(1e7);
  expect(rate).toBeLessThan(1e16);
  expect(counts.created).toBeGreaterThan(0);
  expect(counts.destroyed).toBe(counts.created);
  expect(counts.liveBytes).toBe(0);
  runtime.device.destroy();
});
