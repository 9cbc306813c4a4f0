/** Sequences that come and go in the slots of a cache, beside each other and beside training. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { elementCount, fromFloat32 } from '../../../src/core/dtypes';
import { Random } from '../../../src/core/rng';
import { adapterParameters, type DecoderSpec } from '../../../src/core/spec';
import { openEngine, type Batch, type DecodeView, type Engine, type TrainViewOptions } from '../../../src/engine';
import { relativeError } from '../../support/compare';
import { tinyLora, tinySpec } from '../../support/decoder-spec';
import { testGpu } from '../../support/gpu';
import { randomWeights } from '../../support/random-weights';
import { exportState } from '../../support/sessions';

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine((await testGpu()).gpu);
});
afterAll(() => engine.destroy());

const spec: DecoderSpec = { ...tinySpec, maxPositions: 1024 };
const setup = { spec, weightDType: 'f32', lora: tinyLora } as const;

function tokens(count: number, seed: number): number[] {
  const random = new Random(seed);
  return Array.from({ length: count }, () => random.uint32() % spec.vocabSize);
}

/** An adapter that changes what the model says; a fresh one has B zero. */
function adapter(seed = 5) {
  const random = new Random(seed);
  return adapterParameters(spec, tinyLora).map(({ name, shape }) => {
    const values = Float32Array.from({ length: elementCount(shape) }, () => 0.5 * random.normal());
    return { name, shape, dtype: 'f32' as const, bytes: fromFloat32(values, 'f32') };
  });
}

async function openDecoding(batchSize: number, maxLength: number, model: DecoderSpec = spec) {
  const decode = { batchSize, maxLength };
  const session = await engine.createSession({ ...setup, spec: model }, { decode }, randomWeights(spec));
  await session.importParameters(adapter());
  return { session, view: session.views.decode };
}

/** Logits after each of the tokens that follow a prompt, in one slot. */
async function after(view: DecodeView, slot: number, prompt: readonly number[], following: readonly number[]) {
  const logits = [await view.admit(slot, prompt)];
  for (const token of following) logits.push((await view.decode(new Map([[slot, token]]))).get(slot)!);
  return logits;
}

describe('slots of a cache', () => {
  it('give each sequence the bits that it has alone, whoever comes, goes and speaks beside it', async () => {
    const { session, view } = await openDecoding(3, 64);
    const following = tokens(8, 1);
    const [first, second] = [tokens(21, 2), tokens(5, 3)];
    const alone = [await after(view, 0, first, following), await after(view, 2, second, following)];

    const side = [[await view.admit(2, first, { reusePrefix: false })], [] as Float32Array[]];
    for (const [i, token] of following.entries()) {
      if (i === 2) side[1]!.push(await view.admit(0, second, { reusePrefix: false }));
      if (i === 4) await view.admit(1, tokens(33, 4), { useAdapter: false }); // the base model beside the tuned one
      const step = new Map([[2, token]]);
      if (i >= 2) step.set(0, following[i - 2]!);
      if (i >= 4) step.set(1, token);
      const logits = await view.decode(step);
      expect([...logits.keys()].sort()).toEqual([...step.keys()].sort());
      side[0]!.push(logits.get(2)!);
      if (i >= 2) side[1]!.push(logits.get(0)!);
    }
    expect(side[0]).toEqual(alone[0]);
    expect(side[1]).toEqual(alone[1]!.slice(0, side[1]!.length));
    expect(session.liveBytes).toEqual(session.plan);
    session.dispose();
  });

  it('take calls at once in their order, other adapters among them, and none past the context', async () => {
    const { session, view } = await openDecoding(3, 64);
    const [ids, next] = [tokens(20, 8), new Map([[1, 7]])];
    const other = adapter(6);
    const apart = [await view.admit(1, ids), await view.decode(next), await session.importParameters(other)];
    apart.push(await view.decode(next), await view.admit(1, ids));
    await session.importParameters(adapter());
    const [first, second, third] = [view.admit(1, ids), view.decode(next), session.importParameters(other)];
    const atOnce = await Promise.all([first, second, third, view.decode(next), view.admit(1, ids)]);
    expect(atOnce).toEqual(apart);
    expect(atOnce[4]).not.toEqual(atOnce[0]);

    await view.admit(1, tokens(63, 9));
    const last = await Promise.allSettled([view.decode(next), view.decode(next)]);
    expect(last.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    expect(last[1]).toMatchObject({ reason: { code: 'bad-config' } });
    session.dispose();
  });

  it('hold prompts that are longer than a piece, to the last position', async () => {
    const { session, view } = await openDecoding(2, 600);
    const ids = tokens(600, 6);
    const whole = await view.admit(1, ids);
    await view.admit(0, tokens(600, 7)); // fills every position of the slot before
    const again = await after(view, 1, ids.slice(0, 598), ids.slice(598));
    expect(relativeError(again.at(-1)!, whole)).toBeLessThan(1e-5);
    const forward = { batchSize: 1, lengths: [600], gradients: false };
    const passes = await engine.createSession(setup, { forward }, randomWeights(spec));
    await passes.importParameters(adapter());
    const { logits } = await passes.views.forward.run({ inputIds: [ids], labels: [ids] });
    expect(relativeError(whole, logits.subarray(599 * spec.vocabSize))).toBeLessThan(1e-5);
    passes.dispose();
    await expect(view.decode(new Map([[1, 3]]))).rejects.toThrow(/needs 601 tokens and the context holds 600/);
    await expect(view.admit(0, tokens(601, 8))).rejects.toThrow(/needs 601 tokens/);
    await expect(view.admit(0, [spec.vocabSize])).rejects.toThrow(/outside the model's vocabulary/);
    session.dispose();
  });

  it('compute only what they do not hold already', async () => {
    const { session, view } = await openDecoding(2, 64);
    const count = async <T>(work: () => Promise<T>) => {
      const before = view.computedTokens;
      const result = await work();
      return { result, computed: view.computedTokens - before };
    };
    const turn = tokens(20, 9);
    expect((await count(() => view.admit(0, turn))).computed).toBe(20);
    const said = tokens(3, 10);
    for (const token of said) expect((await count(() => view.decode(new Map([[0, token]])))).computed).toBe(1);
    const next = [...turn, ...said, ...tokens(6, 11)];
    expect(view.cachedPrefix(0, next)).toBe(23);
    const { result, computed } = await count(() => view.admit(0, next));
    expect(computed).toBe(6);
    const fresh = await view.admit(1, next);
    expect(relativeError(result, fresh)).toBeLessThan(1e-5);

    // What it parts from is dropped: a shorter sequence, then one that goes on otherwise.
    expect((await count(() => view.admit(0, next.slice(0, 10)))).computed).toBe(1);
    expect(view.cachedPrefix(0, next)).toBe(10);
    const other = [...next.slice(0, 8), ...tokens(4, 12)];
    expect((await count(() => view.admit(0, other))).computed).toBeLessThanOrEqual(4);
    // The base model's keys are others.
    expect(view.cachedPrefix(0, other, false)).toBe(0);
    expect(view.cachedPrefix(0, other)).toBe(11);
    await session.importParameters(adapter());
    expect(view.cachedPrefix(0, other)).toBe(0);
    session.dispose();
  });
});

describe('LongRoPE', () => {
  const factors = (factor: number) => new Array<number>(4).fill(factor);
  const long: DecoderSpec = {
    ...spec,
    rope: {
      type: 'longrope',
      theta: 10000,
      shortFactor: factors(1),
      longFactor: factors(3),
      originalMaxPositions: 16,
      attentionFactor: 1.1,
    },
  };
  const train: TrainViewOptions = {
    seed: 1,
    batchSize: 1,
    lengths: [8, 32],
    gradientCheckpointing: false,
    adamw: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
    maxGradNorm: 1,
  };

  it('gives each sequence the tables of its own length, whatever was decoded or evaluated before', async () => {
    const decode = { batchSize: 2, maxLength: 40 };
    const session = await engine.createSession({ ...setup, spec: long }, { train, decode }, randomWeights(spec));
    await session.importParameters(adapter());
    const { train: training, decode: view } = session.views;
    const { session: other, view: fresh } = await openDecoding(1, 40, long);
    const batch = (length: number): Batch => ({ inputIds: [tokens(length, 1)], labels: [tokens(length, 1)] });
    const sequences = [tokens(13, 2), tokens(7, 3)];
    for (const [slot, ids] of sequences.entries()) await view.admit(slot, ids);
    const [losses, again] = [new Set<number>(), new Set<number>()];
    for (let i = 0; i < 6; i++) {
      // Tables go to and fro between the evaluations.
      losses.add((await training.evaluate(batch(i % 2 === 0 ? 30 : 6))).lossSum);
      const logits = await view.decode(new Map([0, 1].map((slot) => [slot, 4 + i])));
      for (const slot of [0, 1]) {
        sequences[slot]!.push(4 + i);
        const expected = await fresh.admit(0, sequences[slot]!, { reusePrefix: false });
        expect(relativeError(logits.get(slot)!, expected), `slot ${slot} of ${sequences[slot]!.length}`).toBeLessThan(
          1e-5,
        );
      }
      again.add((await training.evaluate(batch(i % 2 === 0 ? 30 : 6))).lossSum);
    }
    expect(losses.size).toBe(2);
    expect([...again]).toEqual([...losses]);
    other.dispose();
    session.dispose();
  });
});

describe('decoding beside training', () => {
  const train: TrainViewOptions = {
    seed: 3,
    batchSize: 2,
    lengths: [16, 32],
    gradientCheckpointing: true,
    adamw: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01 },
    maxGradNorm: 1,
  };
  const decode = { batchSize: 2, maxLength: 32 };
  const batch = (seed: number): Batch => {
    const inputIds = [tokens(30, seed), tokens(12, seed + 1)];
    return { inputIds, labels: inputIds };
  };

  it('changes no bit of a run, and answers as what is trained stands', async () => {
    const states = [];
    for (const talks of [false, true]) {
      const session = await engine.createSession(setup, { train, ...(talks && { decode }) }, randomWeights(spec));
      const { train: training, decode: view } = session.views as {
        train: typeof session.views.train;
        decode?: DecodeView;
      };
      const prompt = tokens(9, 1);
      await view?.admit(0, prompt);
      await view?.admit(1, prompt, { useAdapter: false });
      const base = await view?.decode(new Map([[1, 7]]));
      for (let step = 0; step < 3; step++) {
        const stepping = training.step([batch(10 * step), batch(10 * step + 2)], step, 0.1);
        // Between the micro-batches, and beside them.
        const talking = view?.decode(new Map([0, 1].map((slot) => [slot, step])));
        const admitting = view?.admit(1, prompt, { useAdapter: false });
        await Promise.all([stepping, talking, admitting]);
      }
      if (view) {
        const before = view.computedTokens;
        const said = await view.decode(
          new Map([
            [0, 3],
            [1, 7],
          ]),
        );
        // The tuned sequence is computed anew, as the adapter is another now; the base model's isn't.
        expect(view.computedTokens - before).toBe(9 + 3 + 1 + 1);
        expect(said.get(1)).toEqual(base!.get(1));
        const other = await engine.createSession(setup, { decode }, randomWeights(spec));
        await other.importParameters(await training.exportParameters());
        const expected = await other.views.decode.admit(0, [...prompt, 0, 1, 2, 3]);
        expect(relativeError(said.get(0)!, expected)).toBeLessThan(1e-5);
        expect(relativeError(said.get(0)!, base!.get(1)!)).toBeGreaterThan(1e-3);
        other.dispose();
      }
      states.push(await exportState(training));
      expect(session.liveBytes).toEqual(session.plan);
      session.dispose();
    }
    expect(states[1]).toEqual(states[0]);
  });
});
