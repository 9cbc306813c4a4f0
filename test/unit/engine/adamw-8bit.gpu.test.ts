/** A trajectory of 8-bit AdamW, kernel against plain loops, both left to themselves. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { dynamicMap } from '../../../src/core/dynamic-map';
import { Random } from '../../../src/core/rng';
import { adamw8bitOp } from '../../../src/engine/ops/optimizer';
import { adamw8bit, globalNorm, type CodedBlock } from '../../reference/optimizer';
import { relativeError } from '../../support/compare';
import { openRunner, runGraph, type Runner } from '../../support/graph-runner';
import { testGpu } from '../../support/gpu';

const BLOCK = 256;
const BLOCKS = 3;
const COUNT = BLOCKS * BLOCK;
/** The end of the last block holds no parameter. */
const USED = COUNT - 100;
const STEPS = 40;

const maps = { signed: dynamicMap(true), unsigned: dynamicMap(false) };
const attrs = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1, maxNorm: 1 };

const { gpu } = await testGpu();
let runner: Runner;
beforeAll(async () => {
  runner = await openRunner(gpu);
});
afterAll(() => runner.device.destroy());

/** A noisy pull towards 0, of very different strength from element to element. */
function gradientAt(parameter: Float32Array, random: Random): Float32Array {
  return parameter.map((value, i) => (i < USED ? 10 ** -(i % 5) * (value + 0.1 * random.normal()) : 0));
}

function blockOf<T extends Float32Array | Uint8Array>(values: T, block: number): T {
  return values.subarray(block * BLOCK, (block + 1) * BLOCK) as T;
}

it('follows the published algorithm for 40 steps', async () => {
  const start = new Random(8);
  const initial = Float32Array.from({ length: COUNT }, (_, i) => (i < USED ? start.normal() : 0));
  const none = (): CodedBlock => ({ codes: new Uint8Array(BLOCK), absmax: 0 });
  const expected = Array.from({ length: BLOCKS }, (_, block): ReturnType<typeof adamw8bit> => {
    return { parameter: Float64Array.from(blockOf(initial, block)), first: none(), second: none() };
  });
  let state: { parameter: Float32Array; codes: Uint8Array; absmax: Float32Array } = {
    parameter: initial,
    codes: new Uint8Array(2 * COUNT),
    absmax: new Float32Array(2 * BLOCKS),
  };
  const random = new Random(9);

  for (let step = 1; step <= STEPS; step++) {
    const gradient = gradientAt(state.parameter, random);
    const norm = Math.fround(globalNorm([gradient]));
    const learningRate = Math.fround(0.05);
    const schedule = [learningRate, 1 - attrs.beta1 ** step, Math.sqrt(1 - attrs.beta2 ** step)];
    const f32 = (values: ArrayLike<number>) => ({ shape: [values.length], dtype: 'f32' as const, values });
    const codes = new Uint32Array(state.codes.buffer);
    const inputs = {
      gradient: f32(gradient),
      norm: f32([norm]),
      loss: f32([1]),
      schedule: f32(schedule),
      maps: f32([...maps.signed, ...maps.unsigned]),
      parameter: f32(state.parameter),
      codes: { shape: [codes.length], dtype: 'u32' as const, values: codes },
      absmax: f32(state.absmax),
    };
    const after = await runGraph(runner, inputs, (graph, leaves) => {
      graph.apply(adamw8bitOp, Object.values(leaves), attrs);
      const { parameter, codes, absmax } = leaves;
      return { parameter, codes, absmax };
    });
    state = { ...after, codes: new Uint8Array(after.codes.slice().buffer) };
    for (let block = 0; block < BLOCKS; block++) {
      const { parameter, first, second } = expected[block]!;
      const options = { ...attrs, learningRate, step };
      expected[block] = adamw8bit(blockOf(gradient, block), norm, parameter, first, second, maps, options);
    }
  }

  const { parameter, codes, absmax } = state;
  const want = {
    parameter: expected.flatMap(({ parameter }) => [...parameter]),
    codes: [
      ...expected.flatMap(({ first }) => [...first.codes]),
      ...expected.flatMap(({ second }) => [...second.codes]),
    ],
    absmax: [...expected.map(({ first }) => first.absmax), ...expected.map(({ second }) => second.absmax)],
  };
  // A value halfway between two codes may fall either way, in f32 and in f64.
  const moved = want.codes.filter((code, i) => code !== codes[i]);
  expect(moved.length).toBeLessThan(0.01 * want.codes.length);
  expect(relativeError(parameter, want.parameter)).toBeLessThan(1e-4);
  expect(relativeError(absmax, want.absmax)).toBeLessThan(1e-4);
  // It went somewhere, and padding stayed.
  expect(relativeError(parameter, initial)).toBeGreaterThan(0.3);
  expect([...parameter.subarray(USED)]).toEqual(Array<number>(100).fill(0));
});
