/** Scores and embeddings of rows, on a session that trains, answers and is planned as one. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fromFloat32, toFloat32 } from '../../../src/core/dtypes';
import type { DecoderSpec } from '../../../src/core/spec';
import type { WeightStream, WeightTensor } from '../../../src/core/weights';
import { openEngine, planSession, type Batch, type Engine, type ModelSetup, type Session } from '../../../src/engine';
import { tinyLora, tinySpec } from '../../support/decoder-spec';
import { relativeError } from '../../support/compare';
import { testGpu } from '../../support/gpu';
import { randomWeights } from '../../support/random-weights';
import { sideBySide } from '../../support/sessions';

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine((await testGpu()).gpu);
});
afterAll(() => engine.destroy());

const spec: DecoderSpec = tinySpec;
const C = spec.hiddenSize;
const V = spec.vocabSize;
const T = 12;
const lora = { ...tinyLora, dropout: 0, modulesToSave: ['embed_tokens'] };
const setup: ModelSetup = { spec, weightDType: 'f32', lora };
const shape = { batchSize: 2, lengths: [6, T] };
const recomputing = { gradientCheckpointing: true };
const views = {
  train: {
    ...shape,
    ...recomputing,
    seed: 3,
    adamw: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1 },
    maxGradNorm: 1,
  },
  forward: { batchSize: 2, lengths: [T], gradients: false },
  decode: { batchSize: 1, maxLength: 16 },
  score: shape,
  embed: { ...shape, ...recomputing, gradients: true },
};
const ids = [
  [1, 5, 9, 2, 7, 30, 4, 4, 11],
  [8, 3, 21, 6],
];
const batch: Batch = { inputIds: ids, labels: ids };

/** With a head that says what the hidden states are: its first rows are those of the identity. */
async function* telling(): WeightStream {
  for await (const tensor of randomWeights(spec)) {
    if (!('bytes' in tensor) || tensor.name !== 'lm_head.weight') yield tensor;
    else
      yield {
        ...tensor,
        bytes: fromFloat32(
          new Float32Array(V * C).map((_, i) => (i % (C + 1) === 0 && i < C * C ? 1 : 0)),
          'f32',
        ),
      };
  }
}

type All = Session<typeof views>;

/** A session whose adapter has been trained for two steps. */
async function trained(weights: WeightStream = randomWeights(spec)): Promise<All> {
  const session = await engine.createSession(setup, views, weights);
  for (const step of [0, 1]) await session.views.train.step([batch], step, 0.05);
  return session;
}

it('share leaves and slots: planned bytes are live ones, and fewer than those of sessions of their own', async () => {
  const together = planSession(setup, views);
  const session = await engine.createSession(setup, views, randomWeights(spec));
  expect(session.plan).toEqual(together.memory);
  expect(session.liveBytes).toEqual(session.plan);
  session.dispose();
  const activations = (some: object) => planSession(setup, some).memory.bytes.activations;
  const { train, score, embed } = views;
  expect(activations({ train, score, embed })).toBeLessThan(
    Math.min(activations({ train }) + activations({ score }), activations({ train }) + activations({ embed })),
  );
  const { memory } = planSession(setup, { score, embed: { ...embed, gradients: false } });
  expect([memory.bytes.gradients, memory.bytes.optimizer]).toEqual([0, 0]);
});

it('are each of a shape of their own: what one reads is no concern of the others', async () => {
  const targets = ids.map((row) => row.map((id) => ({ ids: [id, 3], weights: [0.5, 0.25] })));
  const prompt = { numVirtualTokens: 2 };
  const [first, second] = [ids[0]!.slice(0, 6), ids[1]!];
  const pair: Batch = { inputIds: [first, second], labels: [first, second] };
  const trainings = [
    { ...views.train, batchSize: 4, lengths: [30], objective: { kind: 'weighted-targets', targets: 2 } },
    { ...views.train, batchSize: 2, lengths: [6], objective: { kind: 'dpo', beta: 0.1, reference: 'base' } },
  ] as const;
  for (const [i, train] of trainings.entries()) {
    const model: ModelSetup = i === 0 ? setup : { ...setup, lora: undefined, prompt };
    const rows = i === 0 ? { ...batch, targets } : pair;
    const embed = { ...views.embed, batchSize: 3, lengths: [40] };
    const together = await engine.createSession(model, { train, score: shape, embed }, randomWeights(spec));
    const step = await together.views.train.step([rows], 0, 0.01);
    const scores = await together.views.score.run(batch);
    const embeddings = await together.views.embed.run({ inputIds: ids }, { pooling: 'mean' });
    const alone = await engine.createSession(model, { train }, randomWeights(spec));
    expect(step).toEqual(await alone.views.train.step([rows], 0, 0.01));
    const reading = await engine.createSession(model, { score: shape, embed }, randomWeights(spec));
    await reading.importParameters(await together.views.train.exportParameters());
    expect(scores).toEqual(await reading.views.score.run(batch));
    expect(embeddings).toEqual(await reading.views.embed.run({ inputIds: ids }, { pooling: 'mean' }));
    for (const session of [together, alone, reading]) session.dispose();
  }
});

describe('scores', () => {
  it('are log-probabilities of the labels, by the adapter and by the base', async () => {
    const session = await trained();
    const { train, forward, score, decode } = session.views;
    const { logits } = await forward.run(batch);
    const scores = await score.run(batch);
    expect(scores.map(({ length }) => length)).toEqual(ids.map(({ length }) => length));
    for (const [row, values] of scores.entries()) {
      const expected = ids[row]!.map((id, i) => (i === 0 ? 0 : logSoftmax(logits, row * T + i - 1)[id]!));
      expect(relativeError(values, Float32Array.from(expected))).toBeLessThan(1e-5);
    }
    const total = scores.flatMap((values) => [...values]).reduce((sum, value) => sum + value, 0);
    const { lossSum, count } = await train.evaluate(batch);
    expect([count, Math.abs(lossSum / -total - 1) < 1e-5]).toEqual([11, true]);

    const base = await score.run(batch, { useAdapter: false });
    const first = await sideBySide(decode).prefill([ids[0]!.slice(0, 1)], false);
    expect(base[0]![1]).toBeCloseTo(logSoftmax(first, 0)[ids[0]![1]!]!, 4);
    expect(base[0]).not.toEqual(scores[0]);
    session.dispose();
  });

  it('are 0 where a label is masked, in a short row as in a long one', async () => {
    const session = await trained();
    const { score } = session.views;
    const masked = ids.map((row) => row.map((id, i) => (i % 2 === 0 ? -100 : id)));
    const [all, some] = [await score.run(batch), await score.run({ inputIds: ids, labels: masked })];
    some.forEach((values, row) => values.forEach((value, i) => expect(value).toBe(i % 2 === 0 ? 0 : all[row]![i])));
    const [alone] = await score.run({ inputIds: [ids[1]!], labels: [ids[1]!] });
    expect(relativeError(alone!, all[1]!)).toBeLessThan(1e-5);
    session.dispose();
  });
});

describe('embeddings', () => {
  it('are the mean, or the last, of the hidden states of the tokens that count', async () => {
    const session = await trained(telling());
    const { forward, embed } = session.views;
    const { logits } = await forward.run(batch);
    const hidden = (row: number, i: number) => logits.subarray((row * T + i) * V, (row * T + i) * V + C);
    const mask = [ids[0]!.map((_, i) => i > 1 && i < 7), ids[1]!.map(() => true)];
    for (const given of [undefined, mask]) {
      const counted = ids.map((row, b) => [...row.keys()].filter((i) => given?.[b]?.[i] ?? true));
      const rows = { inputIds: ids, ...(given && { mask: given }) };
      const mean = counted.flatMap((places, b) =>
        Array.from({ length: C }, (_, c) => places.reduce((sum, i) => sum + hidden(b, i)[c]!, 0) / places.length),
      );
      expect(relativeError(await embed.run(rows, { pooling: 'mean' }), Float32Array.from(mean))).toBeLessThan(1e-5);
      const last = counted.flatMap((places, b) => [...hidden(b, places.at(-1)!)]);
      expect(await embed.run(rows, { pooling: 'last' })).toEqual(Float32Array.from(last));
    }
    const own = await embed.run({ inputIds: [ids[1]!] }, { pooling: 'mean' });
    expect(own).toHaveLength(C);
    const base = await embed.run({ inputIds: [ids[1]!] }, { pooling: 'mean', useAdapter: false });
    expect(relativeError(own, base)).toBeGreaterThan(1e-3);
    await expect(embed.run({ inputIds: [[1]], mask: [[false]] }, { pooling: 'mean' })).rejects.toThrow(/no token/);
    session.dispose();
  });

  it.each(['mean', 'last'] as const)(
    'have the gradient of what is trained that differences show (%s)',
    async (pooling) => {
      const session = await trained();
      const { train, embed } = session.views;
      const rows = { inputIds: ids };
      const dEmbeddings = Float32Array.from({ length: 2 * C }, (_, i) => Math.sin(3 * i + 1));
      const parameters = await train.exportParameters();
      const { embeddings, gradients } = await embed.differentiate(rows, { pooling }, dEmbeddings);
      expect(embeddings).toEqual(await embed.run(rows, { pooling }));
      expect(gradients.map(({ name }) => name).sort()).toEqual(parameters.map(({ name }) => name).sort());

      /** The objective with a parameter moved along a direction. */
      const along = async (name: string, direction: Float32Array, step: number) => {
        const moved = parameters.map((tensor): WeightTensor => {
          if (tensor.name !== name) return tensor;
          const values = toFloat32(tensor.bytes, 'f32').map((value, i) => value + step * direction[i]!);
          return { ...tensor, bytes: fromFloat32(values, 'f32') };
        });
        await session.importParameters(moved);
        return dot(await embed.run(rows, { pooling }), dEmbeddings);
      };
      for (const { name, bytes } of gradients) {
        const gradient = toFloat32(bytes, 'f32');
        const norm = Math.sqrt(dot(gradient, gradient));
        const direction = gradient.map((value) => value / norm);
        const step = 0.02;
        const difference = ((await along(name, direction, step)) - (await along(name, direction, -step))) / (2 * step);
        expect(Math.abs(difference / norm - 1), name).toBeLessThan(0.02);
      }
      session.dispose();
    },
  );
});

describe('work that is asked for at once', () => {
  it('is done in the order of the calls, and a step is not mixed with what adds up in the same leaves', async () => {
    const alone = await trained();
    const parameters = await alone.views.train.exportParameters();
    const scores = await alone.views.score.run(batch);
    const step = await alone.views.train.step([batch, batch], 2, 0.05);
    const after = await alone.views.train.exportParameters();
    const loss = await alone.views.train.evaluate(batch);
    alone.dispose();

    const session = await trained();
    const { train, forward, score, embed } = session.views;
    const dEmbeddings = new Float32Array(2 * C).fill(1);
    const together = await Promise.all([
      train.step([batch, batch], 2, 0.05),
      train.evaluate(batch),
      forward.run(batch),
      embed.differentiate({ inputIds: ids }, { pooling: 'mean' }, dEmbeddings),
    ]);
    expect(together.slice(0, 2)).toEqual([step, loss]);
    expect(await train.exportParameters()).toEqual(after);

    await session.importParameters(parameters);
    const [before] = await Promise.all([score.run(batch), session.importParameters(after)]);
    expect(before).toEqual(scores);
    session.dispose();
  });
});

describe('an adapter with parts that no view reads', () => {
  const lora = {
    ...setup.lora!,
    modulesToSave: ['embed_tokens', 'lm_head'],
  };

  it('is loaded all the same: embeddings take no head', async () => {
    const session = await trained();
    const { train, embed } = session.views;
    const rows = { inputIds: ids };
    const expected = await embed.run(rows, { pooling: 'mean' });
    const parameters = await train.exportParameters();
    session.dispose();
    const head: WeightTensor = {
      name: 'base_model.model.lm_head.weight',
      dtype: 'f32',
      shape: [V, C],
      bytes: new Uint8Array(4 * V * C),
    };
    for (const gradients of [false, true]) {
      const some = { embed: { ...views.embed, gradients } };
      const own = await engine.createSession({ ...setup, lora }, some, randomWeights(spec));
      expect(own.liveBytes).toEqual(own.plan);
      await own.importParameters([...parameters, head]);
      expect(await own.views.embed.run(rows, { pooling: 'mean' })).toEqual(expected);
      await expect(own.importParameters(parameters)).rejects.toThrow(/the first is base_model.model.lm_head.weight/);
      await expect(own.importParameters([...parameters, { ...head, shape: [C, V] }])).rejects.toThrow(/has shape/);
      own.dispose();
    }
  });
});

function logSoftmax(logits: Float32Array, row: number): number[] {
  const values = [...logits.subarray(row * V, (row + 1) * V)];
  const most = Math.max(...values);
  const sum = values.reduce((total, value) => total + Math.exp(value - most), 0);
  return values.map((value) => value - most - Math.log(sum));
}

const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
