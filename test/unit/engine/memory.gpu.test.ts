/** What sessions really allocate, by an account of the device's own calls: the plan, from the first step to the last. */
import { afterAll, describe, expect, it } from 'vitest';
import { Random } from '../../../src/core/rng';
import { openEngine, type Batch } from '../../../src/engine';
import { countingGpu } from '../../support/counting-gpu';
import { tinyLora, tinySpec } from '../../support/decoder-spec';
import { testGpu } from '../../support/gpu';
import { randomWeights } from '../../support/random-weights';
import { openDecoding, openTraining, type TrainOptions } from '../../support/sessions';

const STEPS = 200;

const { gpu, counts } = countingGpu((await testGpu()).gpu);
const engine = await openEngine(gpu);
afterAll(() => engine.destroy());

const options: TrainOptions = {
  spec: { ...tinySpec, numLayers: 3 },
  weightDType: 'bf16',
  lora: { ...tinyLora, r: 128 }, // large enough for moments in 8 bits
  seed: 3,
  batchSize: 2,
  lengths: [8, 16],
  gradientCheckpointing: true,
  adamw: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, moments: '8bit' },
  maxGradNorm: 1,
};

const variants: [title: string, options: TrainOptions][] = [
  ['16-bit weights', options],
  [
    '4-bit weights, segments of layers in 16 bits and MLPs in chunks',
    {
      ...options,
      quantization: { linears: 'nf4_nested', embeddings: 'q8' },
      checkpointing: { layersPerSegment: 2, dtype: 'bf16', mlpRows: 8 },
    },
  ],
  ['every parameter trained', { ...options, weightDType: 'f32', lora: undefined }],
];

function batchOf(length: number, random: Random): Batch {
  const row = () => Array.from({ length }, () => random.uint32() % tinySpec.vocabSize);
  const inputIds = [row(), row()];
  return { inputIds, labels: inputIds };
}

describe.each(variants)('a training session with %s', (_, train) => {
  it(`holds what was planned through ${STEPS} steps, and nothing after it`, async () => {
    const before = { ...counts };
    counts.peakBytes = counts.liveBytes;
    const session = await openTraining(engine, train, randomWeights(train.spec));
    const { totalBytes } = session.plan;
    const random = new Random(1);
    const held = () => counts.liveBytes - before.liveBytes;
    expect(held()).toBe(totalBytes);

    let warm: typeof counts | undefined;
    for (let step = 0; step < STEPS; step++) {
      await session.step([batchOf(step % 2 === 0 ? 7 : 16, random)], step, 1e-3);
      if (step % 50 === 1) {
        await session.evaluate(batchOf(12, random));
        await session.evaluate(batchOf(5, random));
        await session.importState(await session.exportState());
      }
      if (step === 1) warm = { ...counts };
      expect(held()).toBe(totalBytes);
    }
    // Nothing was made once both lengths had come, and nothing was ever there beyond the plan.
    expect(counts).toEqual(warm);
    expect(counts.peakBytes - before.liveBytes).toBe(totalBytes);
    expect(session.liveBytes).toEqual(session.plan);

    session.dispose();
    expect(held()).toBe(0);
    expect(counts.created - before.created).toBe(counts.destroyed - before.destroyed);
  });
});

it('an inference session holds what was planned through 50 tokens, and nothing after it', async () => {
  const before = { ...counts };
  const { spec, weightDType, lora } = options;
  const decode = { spec, weightDType, lora, batchSize: 2, maxLength: 64 };
  const session = await openDecoding(engine, decode, randomWeights(spec));
  let after: typeof counts | undefined;
  for (let start = 0; start < 2; start++) {
    await session.prefill([
      [1, 2, 3],
      [4, 5],
    ]);
    for (let token = 0; token < 25; token++) {
      await session.next([token, token + 1]);
      after ??= { ...counts };
    }
  }
  expect(counts).toEqual(after);
  expect(counts.liveBytes - before.liveBytes).toBe(session.plan.totalBytes);
  session.dispose();
  expect(counts.created - before.created).toBe(counts.destroyed - before.destroyed);
});

it('a session whose weights never come leaves nothing behind', async () => {
  const before = { ...counts };
  const none = (async function* () {})();
  await expect(openTraining(engine, options, none)).rejects.toThrow('tensors are missing');
  expect(counts.liveBytes).toBe(before.liveBytes);
});
