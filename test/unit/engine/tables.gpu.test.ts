/** A device that binds little: tables are cut into parts, and nothing that a session computes changes. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openEngine, type Batch, type Engine } from '../../../src/engine';
import { toFloat32, type FloatDType } from '../../../src/core/dtypes';
import type { DecoderSpec } from '../../../src/core/spec';
import type { StateTensor } from '../../../src/core/weights';
import { PLAIN } from '../../../src/engine/graph/kernel';
import { relativeError } from '../../support/compare';
import { tinyLora, tinySpec } from '../../support/decoder-spec';
import { testGpu } from '../../support/gpu';
import { randomWeights } from '../../support/random-weights';
import { wrapGpu } from '../../support/wrapped-gpu';
import { openDecoding, openTraining, planTrainSession, type TrainOptions } from '../../support/sessions';

/** A table of 1,472 rows of 24: in f32 138 KiB. */
const spec: DecoderSpec = { ...tinySpec, vocabSize: 1472 };
const LIMIT = 32 * 1024;

const { gpu } = await testGpu();
let whole: Engine;
let small: Engine;
/** Bytes of the largest buffer made on the small device. */
let largest = 0;

beforeAll(async () => {
  whole = await openEngine(gpu);
  const watched = wrapGpu(gpu, {
    onDevice: (device) => {
      const createBuffer = device.createBuffer.bind(device);
      device.createBuffer = (descriptor) => {
        const { STORAGE } = GPUBufferUsage;
        if (descriptor.usage & STORAGE) largest = Math.max(largest, descriptor.size);
        return createBuffer(descriptor);
      };
    },
  });
  small = await openEngine(watched, { maxBindingBytes: LIMIT });
});
afterAll(() => {
  whole.destroy();
  small.destroy();
});

const options: TrainOptions = {
  spec,
  weightDType: 'f32',
  lora: { ...tinyLora, useDora: false },
  seed: 3,
  batchSize: 1,
  lengths: [8],
  gradientCheckpointing: true,
  // A large epsilon: with a small one the first steps depend on the signs of gradients that are nothing but rounding.
  adamw: { beta1: 0.9, beta2: 0.999, epsilon: 1e-3, weightDecay: 0.1 },
  maxGradNorm: 1,
};

const batch: Batch = {
  inputIds: [[1, 999, 200, 201, 700, 383, 384]],
  labels: [[1, 999, -100, 201, 700, 383, 384]],
};

/** Two steps, an evaluation, and all that a session gives away. */
async function train(engine: Engine, train: TrainOptions) {
  const session = await openTraining(engine, train, randomWeights(train.spec));
  try {
    expect(session.liveBytes).toEqual(session.plan);
    const steps = [await session.step([batch, batch], 0, 1e-2), await session.step([batch], 1, 1e-2)];
    const evaluation = await session.evaluate(batch);
    const state = await session.exportState();
    await session.importParameters(await session.exportParameters());
    await session.importState(state);
    expect(await session.exportState()).toEqual(state);
    const whole = new Map((await session.exportParameters()).map(({ name, bytes }) => [name, bytes]));
    const parameters = state.filter(({ name }) => whole.has(name));
    expect(parameters).toHaveLength(whole.size);
    for (const { name, bytes } of parameters) expect(Buffer.compare(whole.get(name)!, bytes), name).toBe(0);
    const halves = state.map(({ bytes, ...tensor }) => ({
      ...tensor,
      async *pieces() {
        const half = 4 * Math.ceil(bytes.byteLength / 8);
        yield await Promise.resolve(bytes.subarray(0, half).map((byte) => byte ^ 1));
        yield bytes.subarray(half);
      },
    }));
    await session.importState(halves);
    const changed = await session.exportState();
    for (const [i, { bytes }] of state.entries()) {
      const half = 4 * Math.ceil(bytes.byteLength / 8);
      const expected = bytes.map((byte, k) => (k < half ? byte ^ 1 : byte));
      expect(Buffer.compare(changed[i]!.bytes, expected)).toBe(0);
    }
    return { steps, evaluation, state };
  } finally {
    session.dispose();
  }
}

function expectAlike(actual: readonly StateTensor[], expected: readonly StateTensor[], tolerance: number): void {
  const names = (state: readonly StateTensor[]) => state.map(({ name, dtype, shape }) => ({ name, dtype, shape }));
  const sorted = (state: readonly StateTensor[]) => state.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  expect(names(sorted(actual))).toEqual(names(sorted(expected)));
  const values = ({ bytes, dtype }: StateTensor) => (dtype === 'u8' ? bytes : toFloat32(bytes, dtype));
  sorted(expected).forEach((tensor, i) => {
    expect(relativeError(values(sorted(actual)[i]!), values(tensor)), tensor.name).toBeLessThan(tolerance);
  });
}

const cases: readonly (readonly [string, TrainOptions])[] = [
  ['an adapter on f32 weights', options],
  [
    'an adapter on bf16 weights and a tied head',
    { ...options, weightDType: 'bf16', spec: { ...spec, tieWordEmbeddings: true } },
  ],
  ['an adapter on q8 tables', { ...options, weightDType: 'bf16', quantization: { embeddings: 'q8' } }],
  ['every parameter', { ...options, lora: undefined }],
  ['every parameter, with a tied head', { ...options, lora: undefined, spec: { ...spec, tieWordEmbeddings: true } }],
  [
    'every parameter, moments in 8 bits',
    { ...options, lora: undefined, adamw: { ...options.adamw, moments: '8bit' }, gradientCheckpointing: false },
  ],
];

describe('tables in parts', () => {
  it.each(cases)('train %s as whole ones do', async (_, train_) => {
    const plan = planTrainSession(train_, PLAIN, LIMIT);
    const tables = plan.buffers.flatMap(({ ranges }) => [...ranges.keys()]).filter((name) => /weight#\d$/.test(name));
    expect(tables.length).toBeGreaterThan(1);
    const [cut, uncut] = [await train(small, train_), await train(whole, train_)];
    // A moment that rounds to another of its 8-bit codes is off by far more than a sum in another order.
    const coded = train_.adamw.moments === '8bit';
    const expectClose = (actual: number, expected: number) =>
      expect(Math.abs(actual / expected - 1)).toBeLessThan(coded ? 1e-4 : 2e-6);
    cut.steps.forEach((step, i) => {
      expectClose(step.loss, uncut.steps[i]!.loss);
      expectClose(step.gradNorm, uncut.steps[i]!.gradNorm);
    });
    expectClose(cut.evaluation.lossSum, uncut.evaluation.lossSum);
    expectAlike(cut.state, uncut.state, coded ? 1e-2 : 1e-5);
    expect(largest).toBeLessThanOrEqual(LIMIT);
  });

  it.each([
    ['f32', undefined],
    ['f16', undefined],
    ['bf16', 'q8'],
  ] as const)(
    'decode from %s weights and %s tables to the same logits',
    async (weightDType: FloatDType, embeddings) => {
      const decode = { spec, weightDType, quantization: embeddings && { embeddings }, batchSize: 2, maxLength: 16 };
      const logits = async (engine: Engine) => {
        const session = await openDecoding(engine, decode, randomWeights(spec));
        expect(session.liveBytes).toEqual(session.plan);
        const prompts = await session.prefill([[5, 999, 640], [17]]);
        const next = await session.next([321, 2]);
        session.dispose();
        return [...prompts, ...next];
      };
      expect(await logits(small)).toEqual(await logits(whole));
      expect(largest).toBeLessThanOrEqual(LIMIT);
    },
  );
});

describe('what can not be cut', () => {
  const refusal = async (engine: Engine, train: TrainOptions) => {
    const before = largest;
    largest = 0;
    const error = await openTraining(engine, train, randomWeights(train.spec)).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(largest, 'nothing was allocated').toBe(0);
    largest = before;
    return error;
  };

  it('is refused before anything is allocated, saying what to do', async () => {
    expect(await refusal(small, { ...options, lengths: [8, 400] })).toMatchObject({
      code: 'out-of-memory',
      message: expect.stringMatching(
        /^The largest activation of this run takes [\d,]+ bytes in one buffer, and this device allows 32,768: .*max_length.*\.$/,
      ) as string,
    });
    const wide = { ...spec, intermediateSize: 400 };
    expect(await refusal(small, { ...options, spec: wide, lengths: [2] })).toMatchObject({
      code: 'out-of-memory',
      message: expect.stringMatching(
        /^model\.layers\.0\.mlp\.gate_proj\.weight takes 38,400 bytes .*load_in_4bit/,
      ) as string,
    });
  });
});
