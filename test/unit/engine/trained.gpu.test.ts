/** What is trained is a predicate over named parameters: the rest stays as it is, and nothing else computes otherwise. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toFloat32 } from '../../../src/core/dtypes';
import { openEngine, type Batch, type Engine, type ModelSetup } from '../../../src/engine';
import { tinyLora, tinySpec } from '../../support/decoder-spec';
import { testGpu } from '../../support/gpu';
import { randomWeights } from '../../support/random-weights';
import { openForward, openTraining, planTraining, type TrainOptions } from '../../support/sessions';

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine((await testGpu()).gpu);
});
afterAll(() => engine.destroy());

const options: TrainOptions = {
  spec: tinySpec,
  weightDType: 'f32',
  seed: 3,
  batchSize: 2,
  lengths: [12],
  gradientCheckpointing: true,
  adamw: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1 },
  maxGradNorm: 1,
};
const ids = [
  [1, 5, 9, 2, 7, 30, 4, 4, 11],
  [8, 3, 21, 6],
];
const batch: Batch = { inputIds: ids, labels: ids };

const cases: [string, Partial<ModelSetup>, (name: string) => boolean][] = [
  ['the last layer', {}, (name) => name.startsWith('model.layers.1.')],
  ['norms alone', {}, (name) => name.endsWith('norm.weight')],
  ['the head beside an adapter', { lora: { ...tinyLora, dropout: 0 } }, (name) => name === 'lm_head.weight'],
];

async function gradientsOf(setup: Partial<ModelSetup>): Promise<Map<string, Float32Array>> {
  const session = await openForward(engine, { ...options, ...setup }, randomWeights(tinySpec));
  const { gradients } = await session.forward(batch);
  expect(session.liveBytes).toEqual(session.plan);
  session.dispose();
  return new Map(gradients!.map(({ name, bytes }) => [name, toFloat32(bytes, 'f32')]));
}

describe.each(cases)('%s', (_, setup, trains) => {
  it('has the gradients that it has where all is trained', async () => {
    const some = await gradientsOf({ ...setup, trains });
    const all = await gradientsOf({ ...setup, trains: () => true });
    expect([...some.keys()]).toEqual([...all.keys()].filter((name) => name.startsWith('base_model.') || trains(name)));
    expect(some.size).toBeLessThan(all.size);
    for (const [name, gradient] of some) expect(gradient, name).toEqual(all.get(name));
  });

  it('alone changes in a step, takes room for gradients and moments, and comes back from a state', async () => {
    const all = { ...options, ...setup, trains: () => true };
    const some = { ...options, ...setup, trains };
    const { bytes } = planTraining(some);
    const whole = planTraining(all).bytes;
    expect(bytes.gradients).toBeLessThan(whole.gradients);
    expect(bytes.optimizer).toBeLessThan(whole.optimizer);

    const session = await openTraining(engine, some, randomWeights(tinySpec));
    expect(session.liveBytes).toEqual(session.plan);
    const before = await session.exportParameters();
    const start = await session.evaluate(batch);
    const first = await session.step([batch], 0, 1e-2);
    const state = await session.exportState();
    const second = await session.step([batch], 1, 1e-2);
    const end = await session.evaluate(batch);
    expect(end.lossSum).toBeLessThan(start.lossSum);
    const after = await session.exportParameters();
    expect(after.map(({ name }) => name)).toEqual(before.map(({ name }) => name));
    after.forEach(({ name, bytes }, i) => expect(bytes, name).not.toEqual(before[i]!.bytes));
    session.dispose();

    const resumed = await openTraining(engine, some, randomWeights(tinySpec));
    await resumed.importState(state);
    expect(await resumed.step([batch], 1, 1e-2)).toEqual(second);
    expect(await resumed.exportParameters()).toEqual(after);
    expect(first.loss).toBeGreaterThan(second.loss);
    resumed.dispose();
  });
});
