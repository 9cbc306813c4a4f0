/** The soft cap element by element: small, large and infinite numbers. Norms of whole tensors would hide the small ones. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { softcap } from '../../../src/engine/ops/softcap';
import * as reference from '../../reference/softcap';
import { testGpu } from '../../support/gpu';
import { openRunner, runGraph, type Runner } from '../../support/graph-runner';
import { given } from './cases/types';

const CAP = 30;

/** Of each element; Gemma's logits are to be within 2e-5 after some dozens of layers. */
const TOLERANCE = 5e-7;

let runner: Runner;
beforeAll(async () => {
  runner = await openRunner((await testGpu()).gpu);
});
afterAll(() => runner.device.destroy());

const capped = async (x: readonly number[]) => {
  const values = x.map(Math.fround);
  const { y } = await runGraph(runner, { x: given(values, 'f32') }, (graph, leaves) => ({
    y: softcap(graph, leaves.x, CAP),
  }));
  return { values, y };
};

it('is right to the last bits from the least numbers to the largest', async () => {
  const magnitudes = Array.from({ length: 4001 }, (_, i) => 1e-12 * 10 ** ((24 * i) / 4000));
  const { values, y } = await capped([...magnitudes, ...magnitudes.map((value) => -value)]);
  const expected = reference.softcap(values, CAP);
  const errors = Array.from(expected, (value, i) => Math.abs(y[i]! / value - 1));
  expect(Math.max(...errors)).toBeLessThan(TOLERANCE);
});

it('keeps zeros, reaches the cap at infinity, and lets NaN through', async () => {
  const { y } = await capped([0, Infinity, -Infinity, 3e38, NaN]);
  expect(Array.from(y)).toEqual([0, CAP, -CAP, CAP, NaN]);
});
