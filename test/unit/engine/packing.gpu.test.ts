/** Documents packed into one row give what they give in rows of their own. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toFloat32 } from '../../../src/core/dtypes';
import { Random } from '../../../src/core/rng';
import { openEngine, type Batch, type Engine } from '../../../src/engine';
import { relativeError } from '../../support/compare';
import { tinySpec } from '../../support/decoder-spec';
import { testGpu } from '../../support/gpu';
import { randomWeights } from '../../support/random-weights';
import { openBoth, type TrainOptions } from '../../support/sessions';

/** Relative, by norm: sums in another order. */
const TOLERANCE = 1e-5;
const IGNORED = -100;

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine((await testGpu()).gpu);
});
afterAll(() => engine.destroy());

const random = new Random(9);
const document = (length: number) => {
  const ids = Array.from({ length }, () => random.uint32() % tinySpec.vocabSize);
  // Some labels are masked; the first is not, and must not count all the same.
  return { ids, labels: ids.map((id, i) => (i % 4 === 2 ? IGNORED : id)) };
};
const rows = [[5, 1, 17, 2].map(document), [9, 8].map(document)];
const documents = rows.flat();

const packed: Batch = {
  inputIds: rows.map((row) => row.flatMap(({ ids }) => ids)),
  labels: rows.map((row) => row.flatMap(({ labels }) => labels)),
  documents: rows.map((row) => row.map(({ ids }) => ids.length)),
};
const apart: Batch = { inputIds: documents.map(({ ids }) => ids), labels: documents.map(({ labels }) => labels) };

async function session(batchSize: number, length: number, gradientCheckpointing: boolean, packing: boolean) {
  const options: TrainOptions = {
    spec: tinySpec,
    weightDType: 'f32',
    seed: 0,
    batchSize,
    lengths: [length],
    packing,
    gradientCheckpointing,
    adamw: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
    maxGradNorm: 1,
  };
  return openBoth(engine, options, randomWeights(tinySpec));
}

describe.each([false, true])('packed rows, checkpointed %s', (checkpointing) => {
  it('give the logits, loss and gradients of their documents apart', async () => {
    const together = await session(2, 27, checkpointing, true);
    const separate = await session(6, 17, checkpointing, false);
    const a = await together.forward(packed);
    const b = await separate.forward(apart);
    expect(Math.abs(a.loss! / b.loss! - 1)).toBeLessThan(TOLERANCE);
    const expected = new Map(b.gradients!.map(({ name, bytes }) => [name, toFloat32(bytes, 'f32')]));
    for (const { name, bytes } of a.gradients!) {
      expect(relativeError(toFloat32(bytes, 'f32'), expected.get(name)!), name).toBeLessThan(TOLERANCE);
    }
    const { vocabSize } = tinySpec;
    rows.forEach((row, r) => {
      let begin = 0;
      for (const { ids } of row) {
        const own = documents.findIndex((candidate) => candidate.ids === ids) * 17;
        const there = a.logits.subarray((r * 27 + begin) * vocabSize, (r * 27 + begin + ids.length) * vocabSize);
        const here = b.logits.subarray(own * vocabSize, (own + ids.length) * vocabSize);
        expect(relativeError(there, here)).toBeLessThan(TOLERANCE);
        begin += ids.length;
      }
    });
    together.dispose();
    separate.dispose();
  });

  it('take the same optimiser step, and evaluate to the same sum', async () => {
    const together = await session(2, 32, checkpointing, true);
    const separate = await session(6, 17, checkpointing, false);
    const a = await together.evaluate(packed);
    const b = await separate.evaluate(apart);
    expect(a.count).toBe(b.count);
    expect(Math.abs(a.lossSum / b.lossSum - 1)).toBeLessThan(TOLERANCE);
    const stepped = [await together.step([packed], 0, 1e-3), await separate.step([apart], 0, 1e-3)] as const;
    expect(Math.abs(stepped[0].loss / stepped[1].loss - 1)).toBeLessThan(TOLERANCE);
    expect(Math.abs(stepped[0].gradNorm / stepped[1].gradNorm - 1)).toBeLessThan(TOLERANCE);
    together.dispose();
    separate.dispose();
  });
});

it('rows of several documents need a session that was planned for them', async () => {
  const separate = await session(2, 27, false, false);
  await expect(separate.evaluate(packed)).rejects.toThrow(/not planned for/);
  separate.dispose();
});
