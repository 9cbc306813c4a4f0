/** How fast the device is, told by its own products, and nothing left of what that took. */
import { expect, it } from 'vitest';
import { ATTENTION, measureRate, PRODUCTS, rateOf, type Work } from '../../../src/engine/runtime/rate';
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

it.each([PRODUCTS, ATTENTION])('measures what fills a card only where small work of its kind is fast', async (kind) => {
  const measured = async (small: number, large: number) => {
    const asked: Work[] = [];
    const measure = (work: Work) => {
      asked.push(work);
      return Promise.resolve(work === kind.small ? small : large);
    };
    return { rate: await rateOf(kind, measure), asked };
  };
  expect(await measured(9e10, 5e12)).toEqual({ rate: 9e10, asked: [kind.small] });
  expect(await measured(2e11, 5e12)).toEqual({ rate: 5e12, asked: [kind.small, kind.large] });
  expect(await measured(2e11, 1e11)).toEqual({ rate: 2e11, asked: [kind.small, kind.large] });
});
