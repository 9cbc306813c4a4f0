/** Prompt tuning: virtual tokens before every sequence, held against PEFT and against a model that has them as tokens. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PROMPT_EMBEDDINGS, type PromptSpec } from '../../../src/core/adapter';
import { fromFloat32, toFloat32, type FloatDType } from '../../../src/core/dtypes';
import type { DecoderSpec } from '../../../src/core/spec';
import type { WeightStream, WeightTensor } from '../../../src/core/weights';
import { openEngine, planSession, type Batch, type Engine, type ModelSetup } from '../../../src/engine';
import { openModel } from '../../../src/formats/model';
import { readAdapter } from '../../../src/formats/peft';
import { relativeError } from '../../support/compare';
import { tinySpec } from '../../support/decoder-spec';
import { folder, goldenTensors } from '../../support/folder';
import { testGpu } from '../../support/gpu';
import { rows } from '../../support/golden';
import { randomWeights } from '../../support/random-weights';
import { hasReference, reference } from '../../support/reference';
import { openDecoding, openForward, openTraining, type TrainOptions } from '../../support/sessions';

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine((await testGpu()).gpu);
});
afterAll(() => engine.destroy());

const ADAMW = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01 };
const golden = (...path: string[]) => reference('golden/prompt_tuning', ...path);
const promptOf = (tensors: readonly WeightTensor[]) =>
  toFloat32(tensors.find(({ name }) => name === PROMPT_EMBEDDINGS)!.bytes, 'f32');

interface Trajectory {
  readonly init_text_ids: number[] | null;
  readonly steps: readonly { readonly loss: number; readonly grad_norm: number; readonly learning_rate: number }[];
}

describe.skipIf(!hasReference).each(['prompt_random', 'prompt_text'])('%s, of PEFT', (name) => {
  const load = async () => {
    const model = await openModel(folder(reference('models/stories260K')));
    const from = await readAdapter(folder(golden(name, 'adapter_init')));
    const to = await readAdapter(folder(golden(name, 'adapter_final')));
    const { init_text_ids, steps } = JSON.parse(readFileSync(golden(name, 'trajectory.json'), 'utf8')) as Trajectory;
    const batches = (JSON.parse(readFileSync(golden('batches.json'), 'utf8')) as { steps: object[][] }).steps.map(
      (step) =>
        step.map((batch) => {
          const { input_ids, labels } = batch as Record<'input_ids' | 'labels', number[][]>;
          return { inputIds: input_ids, labels };
        }),
    );
    const [length] = [Math.max(...batches.flat().flatMap(({ inputIds }) => inputIds.map((row) => row.length)))];
    const prompt: PromptSpec = { ...from.prompt!, ...(init_text_ids && { initTokens: repeated(init_text_ids, 8) }) };
    const options: TrainOptions = {
      ...{ spec: model.spec, weightDType: 'f32', prompt, seed: 0, batchSize: 2, lengths: [length] },
      ...{ gradientCheckpointing: true, adamw: ADAMW, maxGradNorm: 1 },
    };
    return { model, from, to, steps, batches, options };
  };

  it('logits, loss and gradient', async () => {
    const { model, from, to, batches, options } = await load();
    const tensors = await goldenTensors(folder(golden(name)), 'logits.safetensors');
    const batch = { inputIds: rows(tensors.get('input_ids')!), labels: rows(tensors.get('labels')!) };
    // What follows padding is nothing that anybody reads: PEFT's tokens don't see it, and Graft's do.
    const mask = rows(tensors.get('attention_mask')!).map((row) => [...Array<number>(8).fill(1), ...row]);
    const unpadded = (values: ArrayLike<number>) =>
      mask.flat().flatMap((seen, i) => (seen ? Array.from({ length: 512 }, (_, k) => values[512 * i + k]!) : []));
    const session = await openForward(engine, options, model.weights());
    expect(session.liveBytes).toEqual(session.plan);
    for (const [adapter, key] of [
      [to, 'logits_final'],
      [from, 'logits_init'],
    ] as const) {
      await session.importParameters(adapter.tensors);
      const { logits } = await session.forward(batch);
      const expected = tensors.get(key)!;
      expect(expected.shape).toEqual([2, 36, 512]);
      expect(relativeError(unpadded(logits), unpadded(expected.values)), key).toBeLessThan(2e-5);
    }
    // That of step 1: of both its micro-batches, by their labels.
    let gradient = new Float32Array(8 * 64);
    const counts = batches[0]!.map(
      ({ labels }) => labels.flatMap((row) => row.slice(1)).filter((label) => label >= 0).length,
    );
    for (const [i, batch] of batches[0]!.entries()) {
      const { gradients } = await session.forward(batch);
      expect(gradients!.map((tensor) => tensor.name)).toEqual([PROMPT_EMBEDDINGS]);
      const values = promptOf(gradients!);
      gradient = gradient.map((sum, k) => sum + (counts[i]! / (counts[0]! + counts[1]!)) * values[k]!);
    }
    const whole = tensors.get('grad.prompt_encoder.default.embedding.weight')!;
    expect(relativeError(gradient, whole.values)).toBeLessThan(1e-4);
    expect(session.liveBytes).toEqual(session.plan);
    session.dispose();
  });

  it('a trajectory from where it starts', async () => {
    const { model, from, to, steps, batches, options } = await load();
    const session = await openTraining(engine, options, model.weights());
    expect(session.liveBytes).toEqual(session.plan);
    if (name === 'prompt_text') expect(promptOf(await session.exportParameters())).toEqual(promptOf(from.tensors));
    else await session.importParameters(from.tensors);
    for (const [i, { loss, grad_norm, learning_rate }] of steps.entries()) {
      const result = await session.step(batches[i]!, i, learning_rate);
      expect(Math.abs(result.loss - loss) / loss, `loss of step ${i + 1}`).toBeLessThan(1e-4);
      expect(Math.abs(result.gradNorm - grad_norm) / grad_norm, `norm of step ${i + 1}`).toBeLessThan(1e-4);
    }
    expect(relativeError(promptOf(await session.exportParameters()), promptOf(to.tensors))).toBeLessThan(1e-4);
    session.dispose();
  });
});

function repeated(ids: readonly number[], count: number): number[] {
  return Array.from({ length: count }, (_, i) => ids[i % ids.length]!);
}

const spec: DecoderSpec = tinySpec;
const C = spec.hiddenSize;
const V = spec.vocabSize;
const TOKENS = 3;
const prompt: PromptSpec = { numVirtualTokens: TOKENS };
const setup: ModelSetup = { spec, weightDType: 'f32', prompt };
const shape = { batchSize: 2, lengths: [6, 12] };
const train = { ...shape, seed: 3, gradientCheckpointing: true, adamw: ADAMW, maxGradNorm: 1 };
const ids = [
  [1, 5, 9, 2, 7, 30, 4, 4, 11],
  [8, 3, 21, 6],
];
const batch: Batch = { inputIds: ids, labels: ids };

/** The model with the virtual tokens as the last of its vocabulary, which no head expects. */
const longer: DecoderSpec = { ...spec, vocabSize: V + TOKENS };
const withPrompt = (row: readonly number[]) => [V, V + 1, V + 2, ...row];
async function* asTokens(soft: Float32Array): WeightStream {
  for await (const slice of randomWeights(spec)) {
    if (!('bytes' in slice) || slice.shape[0] !== V) yield slice;
    else {
      const values = new Float32Array((V + TOKENS) * C);
      values.set(toFloat32(slice.bytes, 'f32'));
      if (slice.name === 'model.embed_tokens.weight') values.set(soft, V * C);
      yield { ...slice, shape: [V + TOKENS, C], bytes: fromFloat32(values, 'f32') };
    }
  }
}

/** A prompt after two steps. */
async function trainedPrompt(): Promise<WeightTensor[]> {
  const session = await openTraining(engine, { ...setup, ...train }, randomWeights(spec));
  for (const step of [0, 1]) await session.step([batch], step, 0.1);
  const tensors = await session.exportParameters();
  session.dispose();
  return tensors;
}

it('draws its start from the seed, and comes back from a state', async () => {
  const wide = { ...setup, prompt: { numVirtualTokens: 100 } };
  const start = async (seed: number) => {
    const session = await openTraining(engine, { ...wide, ...train, seed }, randomWeights(spec));
    const values = promptOf(await session.exportParameters());
    session.dispose();
    return values;
  };
  const values = await start(3);
  expect(await start(3)).toEqual(values);
  expect(await start(4)).not.toEqual(values);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + value * value, 0) / values.length - mean * mean;
  expect(Math.abs(mean)).toBeLessThan(0.1);
  expect(Math.abs(variance - 1)).toBeLessThan(0.1);

  const options = { ...setup, ...train };
  const session = await openTraining(engine, options, randomWeights(spec));
  await session.step([batch], 0, 0.1);
  const state = await session.exportState();
  expect(state.map(({ name }) => name).sort()).toEqual(
    ['', '.exp_avg', '.exp_avg_sq'].map((ending) => PROMPT_EMBEDDINGS + ending),
  );
  const second = await session.step([batch], 1, 0.1);
  const after = await session.exportParameters();
  session.dispose();
  const resumed = await openTraining(engine, options, randomWeights(spec));
  await resumed.importState(state);
  expect(await resumed.step([batch], 1, 0.1)).toEqual(second);
  expect(await resumed.exportParameters()).toEqual(after);
  resumed.dispose();
});

it('trains, evaluates, scores, embeds and answers as a model that has its tokens, in one session as planned', async () => {
  const tensors = await trainedPrompt();
  const views = {
    train,
    score: shape,
    embed: { ...shape, gradients: true },
    forward: { ...shape, gradients: false },
    decode: { batchSize: 2, maxLength: 16 },
  };
  const mine = await engine.createSession(setup, views, randomWeights(spec));
  expect(mine.liveBytes).toEqual(mine.plan);
  expect(mine.plan).toEqual(planSession(setup, views).memory);
  await mine.importParameters(tensors);
  const room = { batchSize: 2, lengths: [6 + TOKENS, 12 + TOKENS] };
  const theirViews = {
    score: room,
    embed: { ...room, gradients: false },
    forward: { ...room, gradients: false },
    decode: { batchSize: 1, maxLength: 16 + TOKENS },
  };
  const theirs = await engine.createSession(
    { spec: longer, weightDType: 'f32' },
    theirViews,
    asTokens(promptOf(tensors)),
  );
  const baseViews = { ...theirViews, score: shape, embed: { ...shape, gradients: false } };
  const base = await engine.createSession({ spec, weightDType: 'f32' }, baseViews, randomWeights(spec));
  const seen = ids.map(withPrompt);
  const labels = ids.map((row) => [-100, -100, -100, ...row]);

  // The other model's head has tokens that this one's hasn't: it is logits that are compared.
  const { logits, loss } = await mine.views.forward.run(batch);
  const expected = (await theirs.views.forward.run({ inputIds: seen, labels })).logits;
  const T = 12 + TOKENS;
  const shared = Float32Array.from(
    { length: 2 * T * V },
    (_, i) => expected[Math.floor(i / V) * (V + TOKENS) + (i % V)]!,
  );
  expect(relativeError(logits, shared)).toBeLessThan(1e-6);
  const logProb = (row: number, position: number, label: number) => {
    const values = logits.subarray((row * T + position) * V, (row * T + position + 1) * V);
    return values[label]! - Math.log(values.reduce((sum, value) => sum + Math.exp(value), 0));
  };
  const found = ids.map((row, b) => row.map((id, i) => logProb(b, TOKENS + i - 1, id)));
  const all = found.flat();
  // The first token of a row is predicted, too.
  expect(loss).toBeCloseTo(-all.reduce((sum, value) => sum + value, 0) / all.length, 5);
  const evaluated = await mine.views.train.evaluate(batch);
  expect(evaluated.count).toBe(all.length);
  expect(evaluated.lossSum / all.length).toBeCloseTo(loss!, 5);
  const scores = await mine.views.score.run(batch);
  scores.forEach((row, b) => expect(relativeError(row, found[b]!)).toBeLessThan(1e-5));
  expect(await mine.views.score.run(batch, { useAdapter: false })).toEqual(await base.views.score.run(batch));

  const mask = seen.map((row) => row.map((_, i) => i >= TOKENS));
  for (const pooling of ['mean', 'last'] as const) {
    const embedded = await mine.views.embed.run({ inputIds: ids }, { pooling });
    const wanted = await theirs.views.embed.run({ inputIds: seen, mask }, { pooling });
    expect(relativeError(embedded, wanted)).toBeLessThan(1e-6);
    const plain = await mine.views.embed.run({ inputIds: ids }, { pooling, useAdapter: false });
    expect(plain).toEqual(await base.views.embed.run({ inputIds: ids }, { pooling }));
    const direction = new Float32Array(2 * C).map((_, i) => Math.sin(i));
    const { gradients } = await mine.views.embed.differentiate({ inputIds: ids }, { pooling }, direction);
    const step = new Float32Array(TOKENS * C).map((_, i) => Math.cos(2 * i));
    const along = async (size: number) => {
      const moved = promptOf(tensors).map((value, i) => value + size * step[i]!);
      await mine.importParameters([{ ...tensors[0]!, bytes: fromFloat32(moved, 'f32') }]);
      const values = await mine.views.embed.run({ inputIds: ids }, { pooling });
      return values.reduce((sum, value, i) => sum + value * direction[i]!, 0);
    };
    const slope = ((await along(1e-2)) - (await along(-1e-2))) / 2e-2;
    const predicted = promptOf(gradients).reduce((sum, value, i) => sum + value * step[i]!, 0);
    expect(Math.abs(slope - predicted)).toBeLessThan(1e-2 * Math.abs(predicted));
    await mine.importParameters(tensors);
  }

  const { decode } = mine.views;
  const cut = (values: Float32Array) => values.subarray(0, V);
  const conversation = [...ids[0]!];
  const first = await decode.admit(0, conversation);
  expect(relativeError(first, cut(await theirs.views.decode.admit(0, withPrompt(conversation))))).toBeLessThan(1e-6);
  expect(decode.computedTokens).toBe(conversation.length + TOKENS);
  const plain = await decode.admit(1, conversation, { useAdapter: false });
  expect(plain).toEqual(await base.views.decode.admit(0, conversation));
  const next = await decode.decode(
    new Map([
      [0, 5],
      [1, 7],
    ]),
  );
  expect(relativeError(next.get(0)!, cut((await theirs.views.decode.decode(new Map([[0, 5]]))).get(0)!))).toBeLessThan(
    1e-6,
  );
  expect(next.get(1)).toEqual((await base.views.decode.decode(new Map([[0, 7]]))).get(0));
  // The next turn computes what is new in it alone, and what is held counts no virtual token.
  expect(decode.cachedPrefix(0, [...conversation, 5, 6])).toBe(conversation.length + 1);
  expect(decode.cachedPrefix(0, [30])).toBe(0);
  const before = decode.computedTokens;
  const turn = await decode.admit(0, [...conversation, 5, 6]);
  expect(decode.computedTokens - before).toBe(1);
  const anew = await decode.admit(0, [...conversation, 5, 6], { reusePrefix: false });
  expect(relativeError(turn, anew)).toBeLessThan(1e-6);
  // The whole context is the conversation's.
  const long = Array.from({ length: 16 }, (_, i) => i);
  await decode.admit(0, long);
  await expect(decode.decode(new Map([[0, 1]]))).rejects.toThrow(/needs 17 tokens and the context holds 16/);
  // A token past the vocabulary is none that a row may have.
  const odd = { inputIds: [[1, V]], labels: [[1, 2]] };
  await expect(mine.views.score.run(odd)).rejects.toThrow(new RegExp(`${V}`));
  await expect(decode.admit(0, [V])).rejects.toThrow(new RegExp(`${V}`));
  for (const session of [mine, theirs, base]) session.dispose();
});

it('learns what a teacher and a preference say', async () => {
  const taught = { ...batch, labels: ids.map((row) => row.map((id, i) => (i === 0 ? -100 : id))) };
  const plain = await openTraining(engine, { ...setup, ...train }, randomWeights(spec));
  const expected = await plain.step([taught], 0, 0.1);
  plain.dispose();
  const targets = ids.map((row) =>
    row.map((_, i) => ({ ids: i + 1 < row.length ? [row[i + 1]!] : [], weights: i + 1 < row.length ? [1] : [] })),
  );
  const objective = { kind: 'weighted-targets', targets: 1 } as const;
  const weighted = await openTraining(engine, { ...setup, ...train, objective }, randomWeights(spec));
  const found = await weighted.step([{ ...batch, targets }], 0, 0.1);
  weighted.dispose();
  expect(found.loss).toBeCloseTo(expected.loss, 5);
  expect(found.gradNorm).toBeCloseTo(expected.gradNorm, 5);

  const distill = { kind: 'distill', targets: 2, beta: 0, temperature: 1, tail: true } as const;
  const student = await openTraining(engine, { ...setup, ...train, objective: distill }, randomWeights(spec));
  const teacher = ids.map((row) => ({
    perToken: 2,
    ids: Int32Array.from(row.flatMap((_, i) => [row[i + 1] ?? 0, 36])),
    logProbs: new Float32Array(2 * row.length).map((_, i) => Math.log(i % 2 === 0 ? 0.9 : 0.05)),
  }));
  const first = await student.step([{ ...batch, teacher }], 0, 0.1);
  expect((await student.step([{ ...batch, teacher }], 1, 0.1)).loss).toBeLessThan(first.loss);
  student.dispose();

  const dpo = { kind: 'dpo', beta: 0.1, reference: 'copy' } as const;
  const session = await openTraining(engine, { ...setup, ...train, objective: dpo }, randomWeights(spec));
  expect(session.liveBytes).toEqual(session.plan);
  const start = await session.step([batch], 0, 0.1);
  expect(start.loss).toBeCloseTo(Math.LN2, 6);
  expect((await session.step([batch], 1, 0.1)).loss).toBeLessThan(start.loss);
  session.dispose();
});

it.each([true, false])(
  'is held against the model without it, as if its log-probabilities came along (recomputed: %s)',
  async (gradientCheckpointing) => {
    const base = await engine.createSession({ spec, weightDType: 'f32' }, { score: shape }, randomWeights(spec));
    const referenceLogProbs = (await base.views.score.run(batch)).map((row) =>
      row.reduce((sum, value) => sum + value, 0),
    );
    base.dispose();
    const results = [];
    for (const reference of ['base', 'rows'] as const) {
      const objective = { kind: 'dpo', beta: 0.1, reference } as const;
      const options = { ...setup, ...train, gradientCheckpointing, objective };
      const session = await openTraining(engine, options, randomWeights(spec));
      expect(session.liveBytes).toEqual(session.plan);
      const steps = [];
      for (const step of [0, 1]) steps.push(await session.step([{ ...batch, referenceLogProbs }], step, 0.1));
      results.push([...steps, { ...(await session.evaluate({ ...batch, referenceLogProbs })), gradNorm: 1, loss: 1 }]);
      session.dispose();
    }
    const [computed, given] = results as [(typeof results)[0], (typeof results)[0]];
    computed.forEach((step, i) => {
      expect(step.loss / given[i]!.loss).toBeCloseTo(1, 5);
      expect(step.gradNorm / given[i]!.gradNorm).toBeCloseTo(1, 4);
      for (const [name, value] of Object.entries(step.metrics))
        expect(value, name).toBeCloseTo(given[i]!.metrics[name]!, 4);
    });
  },
);

it.each<[FloatDType, ModelSetup['quantization'], boolean]>([
  ['bf16', undefined, false],
  ['bf16', { embeddings: 'q8', linears: 'nf4_nested' }, true],
])('begins as tokens of tables in %s and %j, in parts', async (dtype, quantization, rounded) => {
  // 2,100 rows of 64 channels, cut at 64 KiB.
  const wide: DecoderSpec = {
    ...tinySpec,
    vocabSize: 2100,
    hiddenSize: 64,
    intermediateSize: 128,
    headDim: 16,
    numHeads: 4,
  };
  const own = { numVirtualTokens: 4, initTokens: [2099, 5, 1400, 2099] };
  const small = await openEngine((await testGpu()).gpu, { maxBindingBytes: 64 * 1024 });
  const options: TrainOptions = { ...train, spec: wide, weightDType: dtype, quantization, prompt: own, batchSize: 1 };
  const session = await openTraining(small, options, randomWeights(wide, dtype));
  expect(session.liveBytes).toEqual(session.plan);
  const start = promptOf(await session.exportParameters());
  let table: Float32Array | undefined;
  for await (const slice of randomWeights(wide, dtype)) table ??= toFloat32((slice as WeightTensor).bytes, dtype);
  const expected = own.initTokens.flatMap((id) => [...table!.subarray(id * 64, (id + 1) * 64)]);
  const error = Math.max(...start.map((value, i) => Math.abs(value - expected[i]!)));
  expect(error).toBeLessThanOrEqual(rounded ? 0.02 : 0);
  const one = { inputIds: [[5, 1400, 7, 2099]], labels: [[5, 1400, 7, 2099]] };
  const first = await session.step([one], 0, 0.1);
  expect((await session.step([one], 1, 0.1)).loss).toBeLessThan(first.loss);
  session.dispose();
  const chat = await openDecoding(small, { ...options, maxLength: 16 }, randomWeights(wide, dtype));
  expect(chat.liveBytes).toEqual(chat.plan);
  chat.dispose();
  small.destroy();
});
