/** Rows of tokens that are trained beside an adapter, in the place of those of embedding and head. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fromFloat32, toFloat32, type FloatDType } from '../../../src/core/dtypes';
import { tokenRows, type DecoderSpec, type LoraSpec, type TrainableTokens } from '../../../src/core/spec';
import type { WeightStream, WeightTensor } from '../../../src/core/weights';
import { openEngine, type Batch, type Engine, type ModelSetup, type ObjectiveOptions } from '../../../src/engine';
import { tinyLora, tinySpec } from '../../support/decoder-spec';
import { relativeError } from '../../support/compare';
import { testGpu } from '../../support/gpu';
import { randomWeights } from '../../support/random-weights';
import { openDecoding, openForward, openTraining, type TrainOptions } from '../../support/sessions';

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine((await testGpu()).gpu);
});
afterAll(() => engine.destroy());

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

const rowsFor = (spec: DecoderSpec, trainableTokens: TrainableTokens, more: Partial<ModelSetup> = {}) => {
  const lora: LoraSpec = { ...tinyLora, dropout: 0, targetModules: ['q_proj'], trainableTokens };
  return { spec, weightDType: 'f32', ...more, lora } satisfies ModelSetup;
};

const DELTA = '.token_adapter.trainable_tokens_delta';
const EMBEDDING = `base_model.model.model.embed_tokens${DELTA}`;
const HEAD = `base_model.model.lm_head${DELTA}`;

async function collect(weights: WeightStream): Promise<Map<string, Float32Array>> {
  const values = new Map<string, Float32Array>();
  for await (const { name, bytes, dtype } of weights) values.set(name, toFloat32(bytes, dtype));
  return values;
}

/** The model with these rows in the place of its own, and no adapter. */
async function* withRows(spec: DecoderSpec, lora: LoraSpec, tensors: readonly WeightTensor[]): WeightStream {
  const own = tokenRows(spec, lora);
  for await (const slice of randomWeights(spec)) {
    const rows = own.get(slice.name);
    const bytes = new Uint8Array(slice.bytes);
    const values = tensors.find(({ name }) => name === rows?.name)?.bytes;
    const rowBytes = 4 * spec.hiddenSize;
    rows?.ids.forEach((id, i) => bytes.set(values!.subarray(i * rowBytes, (i + 1) * rowBytes), id * rowBytes));
    yield { ...slice, bytes };
  }
}

const cases: [string, ReturnType<typeof rowsFor>, string[]][] = [
  ['of a tied table', rowsFor(tied, { embed_tokens: [5, 36, 4] }), [EMBEDDING]],
  ['of an embedding', rowsFor(tinySpec, { embed_tokens: [5, 36, 4] }), [EMBEDDING]],
  ['of embedding and head', rowsFor(tinySpec, { embed_tokens: [5, 4], lm_head: [4, 0, 30] }), [EMBEDDING, HEAD]],
];

describe.each(cases)('rows %s', (_, setup, names) => {
  const { spec, lora } = setup;

  it('begin as those of the model, are trained, and come back from a state', async () => {
    const options: TrainOptions = { ...setup, ...train };
    const session = await openTraining(engine, options, randomWeights(spec));
    expect(session.liveBytes).toEqual(session.plan);
    const weights = await collect(randomWeights(spec));
    const before = await session.exportParameters();
    const rows = before.filter(({ name }) => name.endsWith(DELTA));
    expect(rows.map(({ name }) => name)).toEqual(names);
    for (const [table, { name, ids: tokens }] of tokenRows(spec, lora)) {
      const original = weights.get(table) ?? weights.get('model.embed_tokens.weight')!;
      const expected = tokens.flatMap((id) => [...original.subarray(id * spec.hiddenSize, (id + 1) * spec.hiddenSize)]);
      expect([...toFloat32(rows.find((tensor) => tensor.name === name)!.bytes, 'f32')], name).toEqual(expected);
    }
    const start = await session.evaluate(batch);
    const first = await session.step([batch], 0, 1e-2);
    const state = await session.exportState();
    const second = await session.step([batch], 1, 1e-2);
    expect(second.loss).toBeLessThan(first.loss);
    expect((await session.evaluate(batch)).lossSum).toBeLessThan(start.lossSum);
    const after = await session.exportParameters();
    for (const [i, { name, bytes }] of after.entries()) expect(bytes, name).not.toEqual(before[i]!.bytes);
    session.dispose();

    const resumed = await openTraining(engine, options, randomWeights(spec));
    await resumed.importState(state);
    expect(await resumed.step([batch], 1, 1e-2)).toEqual(second);
    expect(await resumed.exportParameters()).toEqual(after);
    resumed.dispose();
  });

  it('answer as the model does that has them in its tables, and leave the base as it was', async () => {
    const session = await openTraining(engine, { ...setup, ...train }, randomWeights(spec));
    await session.step([batch], 0, 3e-2);
    const tuned = await session.exportParameters();
    session.dispose();
    // The rows alone: B is zero again.
    const zero = (name: string) => name.endsWith('lora_B.weight');
    const adapter = tuned.map((t) => (zero(t.name) ? { ...t, bytes: new Uint8Array(t.bytes.byteLength) } : t));

    const decode = { batchSize: 1, maxLength: 16 };
    const chat = await openDecoding(engine, { ...setup, ...decode }, randomWeights(spec));
    expect(chat.liveBytes).toEqual(chat.plan);
    await chat.importParameters(adapter);
    const whole = await openDecoding(engine, { spec, weightDType: 'f32', ...decode }, withRows(spec, lora, adapter));
    const base = await openDecoding(engine, { spec, weightDType: 'f32', ...decode }, randomWeights(spec));
    for (const prompt of ids) {
      const expected = await whole.prefill([prompt]);
      expect(relativeError(await chat.prefill([prompt], true), expected)).toBeLessThan(1e-6);
      expect(relativeError(await chat.next([5]), await whole.next([5]))).toBeLessThan(1e-6);
      const plain = await base.prefill([prompt]);
      expect(await chat.prefill([prompt], false)).toEqual(plain);
      // The other prompt has none of the tokens, though its answer may.
      if (prompt === ids[0]) expect(relativeError(plain, expected)).toBeGreaterThan(1e-3);
    }
    for (const view of [chat, whole, base]) view.dispose();

    const options = { gradients: false };
    const mine = await openForward(engine, { ...setup, ...train }, randomWeights(spec), options);
    await mine.importParameters(adapter);
    const model = { spec, weightDType: 'f32', ...train } as const;
    const theirs = await openForward(engine, model, withRows(spec, lora, adapter), options);
    const [a, b] = [await mine.forward(batch), await theirs.forward(batch)];
    expect(relativeError(a.logits, b.logits)).toBeLessThan(1e-6);
    expect(Math.abs(a.loss! - b.loss!)).toBeLessThan(1e-5);
    mine.dispose();
    theirs.dispose();
  });

  it('have the gradient of those of the whole tables', async () => {
    const fresh = await openTraining(engine, { ...setup, ...train }, randomWeights(spec));
    const adapter = await fresh.exportParameters();
    fresh.dispose();
    const mine = await openForward(engine, { ...setup, ...train }, randomWeights(spec));
    await mine.importParameters(adapter);
    const { gradients } = await mine.forward(batch);
    mine.dispose();
    const model = { spec, weightDType: 'f32', ...train } as const;
    const theirs = await openForward(engine, model, randomWeights(spec));
    const { gradients: whole } = await theirs.forward(batch);
    theirs.dispose();
    for (const [table, { name, ids: tokens }] of tokenRows(spec, lora)) {
      const all = whole!.find((tensor) => tensor.name === table) ?? whole![0]!;
      const values = toFloat32(all.bytes, 'f32');
      const expected = tokens.flatMap((id) => [...values.subarray(id * spec.hiddenSize, (id + 1) * spec.hiddenSize)]);
      const found = toFloat32(gradients!.find((tensor) => tensor.name === name)!.bytes, 'f32');
      expect(relativeError(found, Float32Array.from(expected)), name).toBeLessThan(1e-5);
    }
  });
});

const objectives: [string, ObjectiveOptions][] = [
  ['the base', { kind: 'dpo', beta: 0.1, reference: 'base' }],
  ['a frozen copy', { kind: 'dpo', beta: 0.1, reference: 'copy' }],
];

it.each(objectives)('begin as %s of preferences has them: the loss of no difference', async (_, objective) => {
  const setup = rowsFor(tied, { embed_tokens: [5, 36, 4] });
  const session = await openTraining(engine, { ...setup, ...train, objective }, randomWeights(tied));
  expect(session.liveBytes).toEqual(session.plan);
  const first = await session.step([batch], 0, 1e-2);
  expect(first.loss).toBeCloseTo(Math.LN2, 6);
  expect((await session.step([batch], 1, 1e-2)).loss).toBeLessThan(first.loss);
  session.dispose();
});

it.each<[FloatDType, ModelSetup['quantization'], number]>([
  ['bf16', undefined, 0],
  ['bf16', { embeddings: 'q8' }, 0.02],
])('begin as the rows of tables in %s and %j, in parts', async (dtype, quantization, error) => {
  // 2,100 rows of 24 channels, cut at 64 KiB.
  const spec = { ...tied, vocabSize: 2100 };
  const setup = rowsFor(spec, { embed_tokens: [2099, 5, 1400] }, { weightDType: dtype, quantization });
  const small = await openEngine((await testGpu()).gpu, { maxBindingBytes: 64 * 1024 });
  const options = { ...setup, ...train, batchSize: 1 };
  const session = await openTraining(small, options, randomWeights(spec, dtype));
  expect(session.liveBytes).toEqual(session.plan);
  const rows = (await session.exportParameters()).find(({ name }) => name === EMBEDDING)!;
  const original = (await collect(randomWeights(spec, dtype))).get('model.embed_tokens.weight')!;
  const expected = [2099, 5, 1400].flatMap((id) => [...original.subarray(id * 24, (id + 1) * 24)]);
  const found = toFloat32(rows.bytes, 'f32');
  expect(Math.max(...found.map((value, i) => Math.abs(value - expected[i]!)))).toBeLessThanOrEqual(error);
  const one = { inputIds: [[5, 1400, 7, 2099]], labels: [[5, 1400, 7, 2099]] };
  const first = await session.step([one], 0, 1e-2);
  expect((await session.step([one], 1, 1e-2)).loss).toBeLessThan(first.loss);
  session.dispose();
  small.destroy();
});

it('are merged into the tables, in their types', async () => {
  const setup = rowsFor(tinySpec, { embed_tokens: [5, 36], lm_head: [0] });
  const session = await openTraining(engine, { ...setup, ...train }, randomWeights(tinySpec));
  const tensors = (await session.exportParameters()).map((tensor) => {
    if (!tensor.name.endsWith(DELTA)) return tensor;
    return { ...tensor, bytes: fromFloat32(new Float32Array(tensor.bytes.byteLength / 4).fill(0.1), 'f32') };
  });
  session.dispose();
  const original = await collect(randomWeights(tinySpec, 'bf16'));
  const rounded = toFloat32(fromFloat32(Float32Array.of(0.1), 'bf16'), 'bf16')[0]!;
  const own = tokenRows(tinySpec, setup.lora);
  let tables = 0;
  for await (const { name, dtype, bytes } of engine.mergeAdapter(
    tinySpec,
    setup.lora,
    tensors,
    randomWeights(tinySpec, 'bf16'),
  )) {
    expect(dtype).toBe('bf16');
    const expected = original.get(name)!.slice();
    const size = tinySpec.hiddenSize;
    if (own.has(name)) tables++;
    for (const id of own.get(name)?.ids ?? []) expected.fill(rounded, id * size, (id + 1) * size);
    expect(toFloat32(bytes, dtype), name).toEqual(expected);
  }
  expect(tables).toBe(2);
});
