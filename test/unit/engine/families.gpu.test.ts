/** Options of the families that the reference's tiny models leave alone, against Transformers and PEFT. */
import { readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toFloat32 } from '../../../src/core/dtypes';
import type { LoraSpec } from '../../../src/core/spec';
import { targetedLinears } from '../../../src/core/spec';
import { openEngine, type Engine, type TrainOptions, type TrainSession } from '../../../src/engine';
import { openModel, type HubModel } from '../../../src/formats/model';
import { checkAdapter, readAdapter, resolveTargetModules } from '../../../src/formats/peft';
import { relativeError } from '../../support/compare';
import { folder, type GoldenTensor } from '../../support/folder';
import { familyGolden, named } from '../../support/golden';
import { testGpu } from '../../support/gpu';
import { greedy } from '../../support/greedy';

const GOLDEN = resolve(import.meta.dirname, '../../golden/families');
const NAMES = readdirSync(GOLDEN);
const LENGTH = 24;

const norm = (values: ArrayLike<number>) => Math.hypot(...Array.from(values));

const CHECKPOINTING: readonly Partial<TrainOptions>[] = [
  { gradientCheckpointing: false },
  { gradientCheckpointing: true },
  { gradientCheckpointing: true, checkpointing: { layersPerSegment: 2, mlpRows: 17 } },
];

describe.each(NAMES)('%s', (name) => {
  const path = resolve(GOLDEN, name);
  let engine: Engine;
  beforeAll(async () => {
    engine = await openEngine((await testGpu()).gpu);
  });
  afterAll(() => engine.destroy());

  function trainSession(model: HubModel, options: Partial<TrainOptions>): Promise<TrainSession> {
    const common = {
      spec: model.spec,
      weightDType: 'f32',
      seed: 0,
      batchSize: 2,
      lengths: [LENGTH / 2, LENGTH],
      gradientCheckpointing: false,
      adamw: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
      maxGradNorm: 0,
    } as const;
    return engine.createTrainSession({ ...common, ...options }, model.weights());
  }

  /** Holds logits and every gradient of a session against the golden's. */
  async function check(
    session: TrainSession,
    batch: { inputIds: number[][]; labels: number[][] },
    logits: GoldenTensor,
    gradients: ReadonlyMap<string, GoldenTensor>,
  ): Promise<void> {
    const result = await session.forward(batch, true);
    expect(session.liveBytes).toEqual(session.plan);
    expect(relativeError(result.logits, logits.values)).toBeLessThan(2e-5);
    const actual = new Map(result.gradients!.map(({ name, bytes }) => [name, toFloat32(bytes, 'f32')]));
    expect([...gradients.keys()].toSorted()).toEqual([...actual.keys()].toSorted());
    const total = norm([...gradients.values()].map(({ values }) => norm(values)));
    for (const [parameter, { values }] of gradients) {
      // A bias on keys that aren't rotated moves all scores of a query alike: its gradient is rounding error.
      const nothing = norm(values) < 1e-6 * total;
      const error = nothing ? norm(actual.get(parameter)!) / total : relativeError(actual.get(parameter)!, values);
      expect.soft(error, parameter).toBeLessThan(nothing ? 1e-6 : 1e-4);
    }
  }

  it('logits and the gradient of every parameter, sequences long and short', async () => {
    const golden = await familyGolden(path);
    const model = await openModel(folder(path));
    for (const options of CHECKPOINTING) {
      const session = await trainSession(model, options);
      const batch = { inputIds: golden.ids, labels: golden.labels };
      await check(session, batch, golden.tensors.get('logits')!, golden.gradients);
      const start = (ids: number[][]) => ids.map((row) => row.slice(0, LENGTH / 2));
      const short = await session.forward({ inputIds: start(golden.ids), labels: start(golden.labels) }, false);
      expect(relativeError(short.logits, golden.tensors.get('short.logits')!.values)).toBeLessThan(2e-5);
      await check(session, batch, golden.tensors.get('logits')!, golden.gradients);
      session.dispose();
    }
  });

  it("an adapter on every linear, PEFT's", async () => {
    const golden = await familyGolden(path);
    const model = await openModel(folder(path));
    const adapter = await readAdapter(folder(resolve(path, 'adapter')));
    checkAdapter(name, adapter, model.spec);
    const all: LoraSpec = { ...adapter.lora, targetModules: resolveTargetModules('all-linear', model.spec) };
    expect(targetedLinears(model.spec, adapter.lora)).toEqual(targetedLinears(model.spec, all));
    const session = await trainSession(model, { lora: adapter.lora, gradientCheckpointing: true });
    await session.importParameters(adapter.tensors);
    await check(
      session,
      { inputIds: golden.ids, labels: golden.labels },
      golden.tensors.get('adapter.logits')!,
      named(golden.tensors, 'adapter.grad.'),
    );
    session.dispose();
  });

  it('continues greedily as Transformers does, past windows and the original length', async () => {
    const { prompt, continuation } = await familyGolden(path);
    const { spec, ...model } = await openModel(folder(path));
    const maxLength = prompt.length + continuation.length;
    const session = await engine.createInferenceSession(
      { spec, weightDType: 'f32', batchSize: 2, maxLength },
      model.weights(),
    );
    const [first, second] = await greedy(session, [prompt, prompt], continuation.length, spec.vocabSize);
    expect(first).toEqual(continuation);
    expect(second).toEqual(continuation);
    expect(session.liveBytes).toEqual(session.plan);
    session.dispose();
  });
});
