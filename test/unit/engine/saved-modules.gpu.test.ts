/** Modules that are trained whole beside an adapter: copies, in whose place the originals stay. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fromFloat32, toFloat32, type FloatDType } from '../../../src/core/dtypes';
import { savedParameters, type DecoderSpec, type LoraSpec } from '../../../src/core/spec';
import type { WeightStream } from '../../../src/core/weights';
import { openEngine, planSession, type Batch, type Engine, type ModelSetup } from '../../../src/engine';
import { planSession as planAll } from '../../../src/engine/session/plan-session';
import { tinyLora, tinySpec } from '../../support/decoder-spec';
import { testGpu } from '../../support/gpu';
import { randomWeights } from '../../support/random-weights';
import { openTraining, sideBySide, type TrainOptions } from '../../support/sessions';

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine((await testGpu()).gpu);
});
afterAll(() => engine.destroy());

const lora: LoraSpec = { ...tinyLora, dropout: 0, targetModules: ['q_proj'] };
const tied: DecoderSpec = { ...tinySpec, tieWordEmbeddings: true };
const train = {
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

const saving = (spec: DecoderSpec, modulesToSave: string[], more: Partial<ModelSetup & LoraSpec> = {}) => {
  const { ensureWeightTying, ...setup } = more;
  const own = { ...lora, modulesToSave, ensureWeightTying };
  return { spec, weightDType: 'f32', ...setup, lora: own } satisfies ModelSetup;
};

const cases: [string, ReturnType<typeof saving>, string[]][] = [
  ['both tables', saving(tinySpec, ['embed_tokens', 'lm_head']), ['lm_head', 'model.embed_tokens']],
  ['a head that was tied', saving(tied, ['lm_head']), ['lm_head']],
  ['an embedding that was tied', saving(tied, ['embed_tokens']), ['model.embed_tokens']],
  ['both as one', saving(tied, ['lm_head'], { ensureWeightTying: true }), ['model.embed_tokens']],
  [
    'a module of a layer',
    saving(tied, ['layers.1.mlp']),
    ['gate', 'up', 'down'].map((n) => `model.layers.1.mlp.${n}_proj`),
  ],
];

async function collect(weights: WeightStream): Promise<Map<string, Float32Array>> {
  const values = new Map<string, Float32Array>();
  for await (const { name, bytes, dtype } of weights) values.set(name, toFloat32(bytes, dtype));
  return values;
}

describe.each(cases)('%s', (_, setup, modules) => {
  const names = modules.map((module) => `base_model.model.${module}.weight`).sort();

  it('begin as what the model has, are trained, and come back from a state', async () => {
    const options: TrainOptions = { ...setup, ...train };
    const session = await openTraining(engine, options, randomWeights(setup.spec));
    expect(session.liveBytes).toEqual(session.plan);
    const weights = await collect(randomWeights(setup.spec));
    const before = await session.exportParameters();
    const copies = before.filter(({ name }) => !name.includes('lora_'));
    expect(copies.map(({ name }) => name).sort()).toEqual(names);
    for (const { name, bytes } of copies) {
      const hub = name.replace('base_model.model.', '');
      expect(toFloat32(bytes, 'f32'), name).toEqual(weights.get(hub) ?? weights.get('model.embed_tokens.weight'));
    }
    const start = await session.evaluate(batch);
    const first = await session.step([batch], 0, 1e-2);
    const state = await session.exportState();
    const second = await session.step([batch], 1, 1e-2);
    expect((await session.evaluate(batch)).lossSum).toBeLessThan(start.lossSum);
    expect(second.loss).toBeLessThan(first.loss);
    const after = await session.exportParameters();
    for (const [i, { name, bytes }] of after.entries()) expect(bytes, name).not.toEqual(before[i]!.bytes);
    session.dispose();

    const resumed = await openTraining(engine, options, randomWeights(setup.spec));
    await resumed.importState(state);
    expect(await resumed.step([batch], 1, 1e-2)).toEqual(second);
    expect(await resumed.exportParameters()).toEqual(after);
    resumed.dispose();
  });

  it('leave the base as it was for a chat, which takes room for its cache alone', async () => {
    const decode = { batchSize: 1, maxLength: 16 };
    const plain = { ...setup, lora };
    const grows = (model: ModelSetup) => {
      const [alone, both] = [planSession(model, { train }), planSession(model, { train, decode })];
      return (
        both.memory.bytes.weights + both.memory.bytes.adapter - alone.memory.bytes.weights - alone.memory.bytes.adapter
      );
    };
    expect([grows(setup), grows(plain)]).toEqual([0, 0]);

    const session = await engine.createSession(setup, { train, decode }, randomWeights(setup.spec));
    const talk = sideBySide(session.views.decode);
    const base = await talk.prefill([ids[0]!], false);
    expect(await talk.prefill([ids[0]!], true)).toEqual(base); // B is zero
    await session.views.train.step([batch], 0, 1e-2);
    await session.views.train.step([batch], 1, 1e-2);
    expect(await talk.prefill([ids[0]!], false)).toEqual(base);
    expect(await talk.prefill([ids[0]!], true)).not.toEqual(base);
    session.dispose();
  });
});

it.each<[FloatDType, ModelSetup['quantization'], number]>([
  ['bf16', undefined, 0],
  ['f16', undefined, 0],
  ['bf16', { embeddings: 'q8' }, 0.01],
])(
  'copies of weights in %s and %j are those weights, though their tables are cut elsewhere',
  async (dtype, quantization, error) => {
    // 2,100 rows of 24 channels, cut at 64 KiB: two parts in 16 bits and four in f32, at other rows.
    const spec = { ...tied, vocabSize: 2100 };
    const setup = saving(spec, ['embed_tokens'], { weightDType: dtype, quantization });
    const parts = planAll(setup, { train }, { subgroups: false, f16: false, software: true }, 64 * 1024).buffers;
    const count = (start: string) =>
      parts.flatMap(({ ranges }) => [...ranges.keys()]).filter((name) => name.startsWith(start)).length;
    expect(count('base_model.model.model.embed_tokens.weight#')).toBeGreaterThan(count('model.embed_tokens.weight#'));
    const few = { train: { ...train, batchSize: 1 } };
    const small = await openEngine((await testGpu()).gpu, { maxBindingBytes: 64 * 1024 });
    const session = await small.createSession(setup, few, randomWeights(spec, dtype));
    expect(session.liveBytes).toEqual(session.plan);
    const exported = await session.views.train.exportParameters();
    const copy = exported.find(({ name }) => name.endsWith('embed_tokens.weight'))!;
    const original = (await collect(randomWeights(spec, dtype))).get('model.embed_tokens.weight')!;
    const values = toFloat32(copy.bytes, 'f32');
    if (error === 0) expect(values).toEqual(original);
    else expect(Math.max(...values.map((value, i) => Math.abs(value - original[i]!)))).toBeLessThan(error);
    await session.views.train.step([{ inputIds: [ids[0]!], labels: [ids[0]!] }], 0, 1e-2);
    session.dispose();
    small.destroy();
  },
);

it('are merged in the types of the weights, and a head that was tied comes after the embedding', async () => {
  const own = saving(tied, ['lm_head', 'norm']).lora;
  const stand = [...savedParameters(tied, own).values()].map(({ name, shape }, i) => {
    const values = new Float32Array(shape.reduce((n, extent) => n * extent, 1)).fill(i + 0.1);
    return { name, shape, dtype: 'f32' as const, bytes: fromFloat32(values, 'f32') };
  });
  const session = await openTraining(engine, { ...saving(tied, ['lm_head', 'norm']), ...train }, randomWeights(tied));
  const pairs = (await session.exportParameters()).filter(({ name }) => name.includes('lora_'));
  session.dispose();
  const merged: [string, FloatDType, Float32Array][] = [];
  for await (const { name, dtype, bytes } of engine.mergeAdapter(
    tied,
    own,
    [...pairs, ...stand],
    randomWeights(tied, 'bf16'),
  )) {
    merged.push([name, dtype, toFloat32(bytes, dtype)]);
  }
  const order = merged.map(([name]) => name);
  expect(order.slice(0, 2)).toEqual(['model.embed_tokens.weight', 'lm_head.weight']);
  const original = await collect(randomWeights(tied, 'bf16'));
  for (const [name, dtype, values] of merged) {
    expect(dtype).toBe('bf16');
    const copy = stand.find((tensor) => tensor.name === `base_model.model.${name}`);
    const expected = copy && toFloat32(fromFloat32(toFloat32(copy.bytes, 'f32'), 'bf16'), 'bf16');
    // B is zero: what is adapted is as it was.
    expect(values, name).toEqual(expected ?? original.get(name));
  }
});
