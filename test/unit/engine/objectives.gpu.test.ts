/** Objectives in a session: against what the logits say, against one another, and what they plan. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openEngine, type Batch, type Engine, type ObjectiveOptions } from '../../../src/engine';
import { tinyLora, tinySpec } from '../../support/decoder-spec';
import { testGpu } from '../../support/gpu';
import { randomWeights } from '../../support/random-weights';
import { openBoth, openTraining, type TrainOptions } from '../../support/sessions';

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine((await testGpu()).gpu);
});
afterAll(() => engine.destroy());

const IGNORED = -100;
const VOCAB = tinySpec.vocabSize;
const K = 3;

const options = (objective?: ObjectiveOptions): TrainOptions => ({
  spec: tinySpec,
  weightDType: 'f32',
  lora: { ...tinyLora, dropout: 0 },
  seed: 1,
  batchSize: 4,
  lengths: [12],
  gradientCheckpointing: true,
  adamw: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
  maxGradNorm: 1,
  objective,
});

/** Rows whose first two tokens are a prompt. */
function rows(...lengths: number[]): Batch {
  const inputIds = lengths.map((length, r) => Array.from({ length }, (_, i) => (7 * i * i + 3 * r + length) % VOCAB));
  return { inputIds, labels: inputIds.map((ids) => ids.map((id, i) => (i < 2 ? IGNORED : id))) };
}

it('weighted targets give what the logits say, and with the label alone what cross entropy gives', async () => {
  const batch = rows(12, 7, 9);
  const targets = batch.inputIds.map((ids, r) =>
    ids.map((_, i) => {
      const count = 1 + ((i + r) % K); // some positions have fewer than K
      return {
        ids: Array.from({ length: count }, (_, k) => (5 * i + 11 * k + r) % VOCAB),
        weights: Array.from({ length: count }, (_, k) => Math.fround(0.1 + 0.2 * k)),
      };
    }),
  );
  const weighted = await openBoth(engine, options({ kind: 'weighted-targets', targets: K }), randomWeights(tinySpec));
  const { logits } = await weighted.forward(batch);
  let [loss, count] = [0, 0];
  batch.labels.forEach((labels, r) => {
    for (let i = 0; i + 1 < labels.length; i++) {
      if (labels[i + 1] === IGNORED) continue;
      const row = Array.from(logits.subarray((r * 12 + i) * VOCAB, (r * 12 + i + 1) * VOCAB));
      const lse = Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0));
      const { ids, weights } = targets[r]![i]!;
      ids.forEach((id, k) => (loss -= weights[k]! * (row[id]! - lse)));
      count++;
    }
  });
  const evaluation = await weighted.evaluate({ ...batch, targets });
  expect(evaluation.count).toBe(count);
  expect(Math.abs(evaluation.lossSum / loss - 1)).toBeLessThan(1e-5);

  const next = batch.inputIds.map((ids) => ids.map((_, i) => ({ ids: [ids[i + 1] ?? 0], weights: [1] })));
  const one = await weighted.step([{ ...batch, targets: next }], 0, 1e-3);
  const supervised = await openTraining(engine, options(), randomWeights(tinySpec));
  const expected = await supervised.step([batch], 0, 1e-3);
  expect(Math.abs(one.loss / expected.loss - 1)).toBeLessThan(1e-6);
  expect(Math.abs(one.gradNorm / expected.gradNorm - 1)).toBeLessThan(1e-5);
  expect(expected.metrics).toEqual({});
  weighted.dispose();
  supervised.dispose();
});

it('DPO is the same whether its reference is computed, copied, or comes with the rows', async () => {
  const pair = rows(12, 8); // of two pairs that were planned for
  const results = [];
  let referenceLogProbs: number[] = [];
  for (const reference of ['base', 'copy', 'rows'] as const) {
    const session = await openTraining(engine, options({ kind: 'dpo', beta: 0.5, reference }), randomWeights(tinySpec));
    expect(session.liveBytes).toEqual(session.plan);
    const batch = reference === 'rows' ? { ...pair, referenceLogProbs } : pair;
    const first = await session.step([batch, batch], 0, 1e-2);
    expect(Math.abs(first.loss / Math.log(2) - 1)).toBeLessThan(1e-6);
    referenceLogProbs = [first.metrics['logps/chosen']!, first.metrics['logps/rejected']!];
    const second = await session.step([batch, batch], 1, 1e-2);
    expect(second.loss).toBeLessThan(first.loss);
    expect(second.metrics['rewards/margins']).toBeGreaterThan(0);
    expect(second.metrics['rewards/accuracies']).toBe(1);
    results.push([first.gradNorm, second.loss, second.gradNorm, second.metrics['rewards/margins']]);
    session.dispose();
  }
  expect(results[1]).toEqual(results[0]);
  expect(results[2]).toEqual(results[0]);
});

it('DPO trains every parameter against a copy of them, which its state brings along', async () => {
  const dpo = { ...options({ kind: 'dpo', beta: 0.1, reference: 'copy' }), lora: undefined };
  const pairs = rows(12, 8, 7, 10);
  const session = await openTraining(engine, dpo, randomWeights(tinySpec));
  await session.step([pairs], 0, 1e-2);
  const state = await session.exportState();
  const onward = await session.step([pairs], 1, 1e-2);
  const resumed = await openTraining(engine, dpo, randomWeights(tinySpec));
  await resumed.step([pairs], 0, 0.1);
  await resumed.keepReference();
  await resumed.importState(state);
  expect(await resumed.step([pairs], 1, 1e-2)).toEqual(onward);
  expect(onward.metrics['rewards/margins']).not.toBe(0);
  session.dispose();
  resumed.dispose();
  const wrong = { ...dpo, objective: { kind: 'dpo', beta: 0.1, reference: 'base' } } as const;
  await expect(openTraining(engine, wrong, randomWeights(tinySpec))).rejects.toThrow(
    /no reference where it is trained/,
  );
});
