/** DoRA's norms follow from weights and adapter: they are computed when these change, and are right in every view. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LoraSpec } from '../../../src/core/spec';
import { openEngine, type Batch, type Engine, type ModelSetup } from '../../../src/engine';
import { PLAIN } from '../../../src/engine/graph/kernel';
import { byKernel } from '../../../src/core/profile';
import { planSession } from '../../../src/engine/session/plan-session';
import { tinyLora, tinySpec } from '../../support/decoder-spec';
import { testGpu } from '../../support/gpu';
import { randomWeights } from '../../support/random-weights';
import { exportState, sideBySide } from '../../support/sessions';

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine((await testGpu()).gpu);
});
afterAll(() => engine.destroy());

const lora: LoraSpec = { ...tinyLora, dropout: 0, useDora: true };
const setup: ModelSetup = { spec: tinySpec, weightDType: 'f32', lora };
const shape = { batchSize: 2, lengths: [12] };
const train = {
  ...shape,
  seed: 3,
  gradientCheckpointing: true,
  adamw: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1 },
  maxGradNorm: 1,
};
const views = { train, decode: { batchSize: 1, maxLength: 16 }, forward: { ...shape, gradients: false } };
const ids = [
  [1, 5, 9, 2, 7, 30, 4, 4, 11],
  [8, 3, 21, 6],
];
const batch: Batch = { inputIds: ids, labels: ids };
const TARGETS = 7 * tinySpec.numLayers;

const open = () => engine.createSession(setup, views, randomWeights(tinySpec));

it('are in no pass of the model, and once in a program of their own', () => {
  const { programs } = planSession(setup, views, PLAIN).programs;
  const norms = programs.map(({ name, kernels }) => {
    return [name, kernels.filter(({ shader }) => shader.name === 'dora/norm').length] as const;
  });
  // Magnitudes start as norms.
  expect(norms.filter(([, count]) => count > 0)).toEqual([
    ['derive', TARGETS],
    ['initialize', TARGETS],
  ]);
});

it('are computed once in a step of several micro-batches, and not again for what is asked after it', async () => {
  const session = await open();
  const { train, decode } = session.views;
  await train.step([batch], 0, 1e-2);
  const { profile } = await engine.profile(async () => {
    await train.step([batch, batch, batch], 1, 1e-2);
    await train.evaluate(batch);
    await sideBySide(decode).prefill([ids[0]!]);
  });
  // Those of the step before, which nothing had asked for yet, and those of this one.
  expect(byKernel(profile).find(({ kernel }) => kernel === 'dora/norm')?.calls).toBe(2 * TARGETS);
  session.dispose();
});

describe('of a frozen copy', () => {
  const objective = { kind: 'dpo', beta: 0.1, reference: 'copy' } as const;
  const preferring = { train: { ...train, objective } };
  const opened = () => engine.createSession(setup, preferring, randomWeights(tinySpec));

  it('are in no pass, and not computed again by steps', async () => {
    const { programs } = planSession(setup, preferring, PLAIN).programs;
    const normed = programs.filter(({ kernels }) => kernels.some(({ shader }) => shader.name === 'dora/norm'));
    expect(normed.map(({ name }) => name)).toEqual(['derive', 'initialize', 'derive-reference']);

    const session = await opened();
    const { train: view } = session.views;
    const { profile } = await engine.profile(async () => {
      await view.step([batch, batch], 0, 1e-2);
      await view.step([batch, batch], 1, 1e-2);
    });
    // Those of what is trained alone, after each change.
    expect(byKernel(profile).find(({ kernel }) => kernel === 'dora/norm')?.calls).toBe(TARGETS);
    expect(session.liveBytes).toEqual(session.plan);
    session.dispose();
  });

  it('follow the copy when it is taken anew, and when a state brings it back', async () => {
    const session = await opened();
    const { train: view } = session.views;
    const first = await view.step([batch], 0, 0.1);
    expect(first.loss).toBeCloseTo(Math.LN2, 6);
    await view.step([batch], 1, 0.1);
    const state = await exportState(view);
    const third = await view.step([batch], 2, 0.1);
    await view.keepReference();
    // What is trained and its copy are the same again, and so no pair is preferred.
    expect((await view.evaluate(batch)).lossSum).toBeCloseTo(Math.LN2, 6);
    session.dispose();

    const other = await opened();
    await other.views.train.importState(state);
    expect(await other.views.train.step([batch], 2, 0.1)).toEqual(third);
    // A copy of another adapter than the first: its norms are others than those of the beginning.
    await other.views.train.keepReference();
    await other.views.train.importState(state);
    expect(await other.views.train.step([batch], 2, 0.1)).toEqual(third);
    other.dispose();
  });
});

describe('what is asked of a session in training is what one with the same adapter says', () => {
  it.each(['after a step', 'after a state came back'])('%s', async (when) => {
    const session = await open();
    const { train, decode, forward } = session.views;
    const talk = sideBySide(decode);
    const state = await exportState(train);
    await train.evaluate(batch);
    await train.step([batch, batch], 0, 0.1);
    await train.step([batch], 1, 0.1);
    if (when !== 'after a step') await train.importState(state);
    const fresh = await open();
    await fresh.importParameters(await train.exportParameters());
    expect(await train.evaluate(batch)).toEqual(await fresh.views.train.evaluate(batch));
    expect(await talk.prefill([ids[0]!])).toEqual(await sideBySide(fresh.views.decode).prefill([ids[0]!]));
    expect((await forward.run(batch)).logits).toEqual((await fresh.views.forward.run(batch)).logits);
    expect(session.liveBytes).toEqual(session.plan);
    session.dispose();
    fresh.dispose();
  });
});
