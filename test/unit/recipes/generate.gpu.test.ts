import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fromFloat32, toFloat32 } from '../../../src/core/dtypes';
import { adapterParameters, type LoraSpec } from '../../../src/core/spec';
import { Random } from '../../../src/core/rng';
import { elementCount } from '../../../src/core/dtypes';
import { openEngine, type Engine } from '../../../src/engine';
import { openModel, type HubModel } from '../../../src/formats/model';
import { forward, openGenerator, type GenerationOptions, type Prompt } from '../../../src/recipes';
import { argmax } from '../../../src/recipes/steps/sampling';
import { largestDifference } from '../../support/compare';
import { folder } from '../../support/folder';
import { testGpu } from '../../support/gpu';
import { hasReference, reference } from '../../support/reference';
import { expectError, tinyModel } from './support';

let engine: Engine;
let tiny: HubModel;
beforeAll(async () => {
  engine = await openEngine((await testGpu()).gpu);
  tiny = await openModel(await tinyModel());
});
afterAll(() => engine.destroy());

const greedy: GenerationOptions = {
  maxNewTokens: 12,
  temperature: 0,
  topP: 1,
  topK: 0,
  seed: 0,
  stop: [],
  useAdapter: true,
};
const lora: LoraSpec = {
  r: 2,
  alpha: 4,
  dropout: 0,
  targetModules: ['q_proj', 'v_proj', 'up_proj'],
  useRslora: false,
  useDora: false,
};

function randomAdapter(model: HubModel) {
  const random = new Random(11);
  const tensors = adapterParameters(model.spec, lora).map(({ name, shape }) => {
    const values = Float32Array.from({ length: elementCount(shape) }, () => 0.7 * random.normal());
    return { name, shape, dtype: 'f32' as const, bytes: fromFloat32(values, 'f32') };
  });
  return { name: 'random', content: { lora, baseModel: '', tensors } };
}

/** Greedy continuation without a cache: a whole pass for every token. */
async function slowGreedy(
  model: HubModel,
  ids: readonly number[],
  count: number,
  adapter?: ReturnType<typeof randomAdapter>,
) {
  const all = [...ids];
  for (let i = 0; i < count; i++) {
    const request = { model, engine, adapter, inputIds: [all], gradients: false, dtype: 'auto' } as const;
    const { logits, shape } = await forward(request, () => undefined);
    all.push(argmax(logits.subarray((all.length - 1) * shape[2])));
  }
  return all.slice(ids.length);
}

describe('generation', () => {
  const prompts: Prompt[] = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 10, 11]].map((ids) => ({ kind: 'tokens', ids }));
  const idsOf = (prompt: Prompt) => (prompt.kind === 'tokens' ? prompt.ids : []);

  test('through the cache says what whole passes say, for each prompt of a batch', async () => {
    const generator = await openGenerator({ model: tiny, engine, batchSize: 2 });
    const seen: number[] = [];
    const answers = await generator.generateAll(prompts, greedy, (_, i) => seen.push(i));
    for (const [i, prompt] of prompts.entries())
      expect(answers[i]!.ids).toEqual(await slowGreedy(tiny, idsOf(prompt), 12));
    expect(answers[0]).toMatchObject({ promptTokens: 3, finish: 'length', text: '' });
    expect(seen).toEqual([0, 1, 2]);
    generator.dispose();
  });

  test('with the adapter and without it, from one session', async () => {
    const adapter = randomAdapter(tiny);
    const generator = await openGenerator({ model: tiny, engine, adapter });
    const [prompt] = prompts;
    const tuned = await generator.generate(prompt!, greedy);
    const base = await generator.generate(prompt!, { ...greedy, useAdapter: false });
    expect(tuned.ids).toEqual(await slowGreedy(tiny, [1, 2, 3], 12, adapter));
    expect(base.ids).toEqual(await slowGreedy(tiny, [1, 2, 3], 12));
    expect(tuned.ids).not.toEqual(base.ids);
    generator.dispose();
  });

  test('sampled: the seed fixes it, and neighbours in a batch don’t matter', async () => {
    const sampled = { ...greedy, temperature: 1.5, topP: 0.95 };
    const one = await openGenerator({ model: tiny, engine });
    const three = await openGenerator({ model: tiny, engine, batchSize: 3 });
    const side = await three.generateAll(prompts, { ...sampled, seed: 4 });
    const alone = await one.generateAll(prompts, { ...sampled, seed: 4 });
    expect(side.map(({ ids }) => ids)).toEqual(alone.map(({ ids }) => ids));
    expect((await one.generate(prompts[0]!, { ...sampled, seed: 5 })).ids).not.toEqual(alone[0]!.ids);
    one.dispose();
    three.dispose();
  });

  test('ten prompts that take the slots of those that end give what each gives alone, greedy and sampled', async () => {
    const random = new Random(21);
    const ten: Prompt[] = Array.from({ length: 10 }, (_, i) => {
      const ids = Array.from({ length: 1 + ((7 * i) % 19) }, () => random.uint32() % 40);
      return { kind: 'tokens', ids };
    });
    // Answers of different length too: up to the edge of the context, which prompts reach sooner or later.
    const options = { ...greedy, maxNewTokens: 99 };
    const shared = { model: tiny, engine, contextLength: 30, adapter: randomAdapter(tiny) };
    const three = await openGenerator({ ...shared, batchSize: 3 });
    const one = await openGenerator(shared);
    for (const drawing of [{ seed: 0 }, { seed: 8, temperature: 1.2, topP: 0.9 }]) {
      const order: number[] = [];
      const answers = await three.generateAll(ten, { ...options, ...drawing }, (_, index) => order.push(index));
      expect(order).toEqual(ten.map((_, index) => index));
      for (const [i, prompt] of ten.entries()) {
        const seed = drawing.seed + i;
        const [alone] = await one.generateAll([prompt], { ...options, ...drawing, seed });
        expect(answers[i], `prompt ${i}`).toEqual(alone);
      }
      expect(new Set(answers.map(({ ids }) => ids.length)).size).toBeGreaterThan(5);
    }
    one.dispose();
    three.dispose();
  });

  test('what can not be asked is told in its place, and takes no slot', async () => {
    const generator = await openGenerator({ model: tiny, engine, batchSize: 2, contextLength: 12 });
    const long: Prompt = { kind: 'tokens', ids: new Array<number>(12).fill(1) };
    const told: string[] = [];
    const answers = await generator.generateAll(
      [long, prompts[0]!, long, prompts[1]!, prompts[2]!],
      { ...greedy, maxNewTokens: 3 },
      (_, index) => told.push(`answer ${index}`),
      undefined,
      (error, index) => told.push(`${error.code} ${index}`),
    );
    expect(told).toEqual(['bad-config 0', 'answer 1', 'bad-config 2', 'answer 3', 'answer 4']);
    expect(answers.map(({ promptTokens }) => promptTokens)).toEqual([3, 1, 7]);
    generator.dispose();
  });

  test('a second turn computes its new tokens alone, and says what a fresh session says', async () => {
    const generator = await openGenerator({ model: tiny, engine });
    const first = await generator.generate(prompts[2]!, greedy);
    // All but the last token of the answer went through the model.
    expect(generator.computedTokens).toBe(7 + 11);
    const conversation = [...idsOf(prompts[2]!), ...first.ids, 21, 22, 23];
    const turn: Prompt = { kind: 'tokens', ids: conversation };
    const second = await generator.generate(turn, greedy);
    expect(generator.computedTokens).toBe(7 + 11 + (1 + 3) + 11);
    expect(second.ids).toEqual(await slowGreedy(tiny, conversation, 12));
    generator.dispose();
  });

  test('the base model and the tuned one each keep their side of a conversation, where there are two slots', async () => {
    const generator = await openGenerator({ model: tiny, engine, adapter: randomAdapter(tiny), batchSize: 2 });
    const conversations = [true, false].map((useAdapter) => ({ useAdapter, ids: [...idsOf(prompts[2]!)] }));
    const computed: number[] = [];
    for (let turn = 0; turn < 3; turn++) {
      for (const { useAdapter, ids } of conversations) {
        const before = generator.computedTokens;
        const answer = await generator.generate({ kind: 'tokens', ids: [...ids] }, { ...greedy, useAdapter });
        computed.push(generator.computedTokens - before);
        ids.push(...answer.ids, 21, 22);
      }
    }
    expect(computed).toEqual([7 + 11, 7 + 11, ...new Array<number>(4).fill(1 + 2 + 11)]);
    generator.dispose();
  });

  test('two that ask at once are answered one after the other', async () => {
    const generator = await openGenerator({ model: tiny, engine, adapter: randomAdapter(tiny) });
    const ask = (useAdapter: boolean) => generator.generate(prompts[0]!, { ...greedy, useAdapter });
    const apart = [await ask(true), await ask(false)];
    expect(await Promise.all([ask(true), ask(false)])).toEqual(apart);
    generator.dispose();
  });

  test('a repetition penalty holds for the tokens of prompt and answer, each sequence for its own', async () => {
    const generator = await openGenerator({ model: tiny, engine, batchSize: 3 });
    const free = await generator.generateAll(prompts, greedy);
    expect(
      free.some(({ ids }, i) => new Set([...idsOf(prompts[i]!), ...ids]).size < idsOf(prompts[i]!).length + 12),
    ).toBe(true);
    const answers = await generator.generateAll(prompts, { ...greedy, repetitionPenalty: 1e6 });
    for (const [i, prompt] of prompts.entries()) {
      const all = [...idsOf(prompt), ...answers[i]!.ids];
      expect(new Set(all).size, all.join(' ')).toBe(idsOf(prompt).length + 12);
    }
    generator.dispose();
  });

  test('ends at the edge of the context, and a batch-mate with more room goes on', async () => {
    const generator = await openGenerator({ model: tiny, engine, batchSize: 2, contextLength: 12 });
    const [short, , long] = prompts;
    const answers = await generator.generateAll([long!, short!], { ...greedy, maxNewTokens: 99 });
    expect(answers.map(({ ids }) => ids.length)).toEqual([5, 9]);
    expect(answers.every(({ finish }) => finish === 'length')).toBe(true);
    expect(answers[1]!.ids).toEqual(await slowGreedy(tiny, [1, 2, 3], 9));
    const full: Prompt = { kind: 'tokens', ids: new Array<number>(12).fill(1) };
    await expectError(
      () => generator.generate(full, greedy),
      'bad-config',
      /prompt has 12 tokens and the context holds 12/,
    );
    generator.dispose();
  });

  test('is refused where the model has no numbers to answer with', async () => {
    async function* damaged() {
      for await (const slice of tiny.weights()) {
        const isNorm = slice.name === 'model.norm.weight' && 'dtype' in slice;
        const values = isNorm && toFloat32(slice.bytes, slice.dtype).slice().fill(NaN, 0, 1);
        yield values ? { ...slice, bytes: fromFloat32(values, slice.dtype) } : slice;
      }
    }
    const generator = await openGenerator({ model: { ...tiny, weights: damaged }, engine, batchSize: 2 });
    for (const temperature of [0, 1]) {
      const answering = generator.generate(prompts[0]!, { ...greedy, temperature });
      await expectError(() => answering, 'diverged', /numbers that are not finite/);
    }
    generator.dispose();
  });

  test('stops between tokens when cancelled', async () => {
    const generator = await openGenerator({ model: tiny, engine });
    const signal = AbortSignal.abort();
    await expectError(() => generator.generate(prompts[0]!, greedy, undefined, signal), 'cancelled', /Stopped/);
    generator.dispose();
  });
});

describe('forward', () => {
  const inputIds = [
    [1, 2, 3, 4, 5],
    [6, 7, 8, 9, 10],
  ];
  const labels = inputIds.map((row) => row.map((id, i) => (i < 2 ? -100 : id)));
  const ask = (more: object) =>
    forward({ model: tiny, engine, inputIds, labels, gradients: false, dtype: 'auto', ...more }, () => undefined);

  test('loss is the mean of −log p over the labels, shifted', async () => {
    const { logits, loss, shape } = await ask({});
    expect(shape).toEqual([2, 5, 40]);
    const terms = labels.flatMap((row, b) =>
      row.flatMap((label, t) => {
        if (t === 0 || label < 0) return [];
        const at = logits.subarray((b * 5 + t - 1) * 40, (b * 5 + t) * 40);
        const sum = at.reduce((total, logit) => total + Math.exp(logit), 0);
        return [Math.log(sum) - at[label]!];
      }),
    );
    expect(loss).toBeCloseTo(terms.reduce((a, b) => a + b) / terms.length, 5);
  });

  test('logits are the same with gradients of every parameter as without', async () => {
    const plain = await ask({});
    const full = await ask({ gradients: true });
    expect(largestDifference(full.logits, plain.logits)).toBeLessThan(1e-5);
    expect(full.gradients!.map(({ name }) => name)).toContain('model.layers.1.mlp.down_proj.weight');
    const norms = full.gradients!.map(({ bytes }) => Math.hypot(...toFloat32(bytes, 'f32')));
    expect(norms.every((norm) => norm > 0 && Number.isFinite(norm))).toBe(true);
  });

  test('with an adapter, gradients are those of its tensors', async () => {
    const { gradients } = await ask({ gradients: true, adapter: randomAdapter(tiny) });
    expect(gradients!.map(({ name }) => name).sort()).toEqual(
      adapterParameters(tiny.spec, lora)
        .map(({ name }) => name)
        .sort(),
    );
  });

  test('what has no one shape or no loss is refused', async () => {
    await expectError(
      () => ask({ inputIds: [[1, 2], [1]] }),
      'bad-data',
      /Row 2 of input_ids has 1 tokens, but row 1 has 2/,
    );
    await expectError(() => ask({ labels: [[1, 2]] }), 'bad-data', /shape of input_ids, \[2, 5\]/);
    await expectError(() => ask({ labels: undefined, gradients: true }), 'bad-data', /labels/);
    await expectError(() => ask({ inputIds: [[1, 2, 3, 4, 99]], labels: undefined }), 'bad-data', /token id 99/);
    expect((await ask({ labels: undefined })).loss).toBeUndefined();
  });
});

describe.skipIf(!hasReference)('a real model with its tokenizer', () => {
  test('tells a story in whole words, streamed, and ends before a stop text', async () => {
    const model = await openModel(folder(reference('models/stories260K')));
    const generator = await openGenerator({ model, engine });
    const prompt: Prompt = { kind: 'text', text: 'Once upon a time, there was a little girl' };
    const pieces: string[] = [];
    const story = await generator.generate(prompt, { ...greedy, maxNewTokens: 40 }, (piece) => pieces.push(piece));
    expect(pieces.length).toBeGreaterThan(5);
    expect(pieces.join('')).toBe(story.text);
    expect(story.text).toMatch(/^ named Lily\. She/);
    const cut = await generator.generate(prompt, { ...greedy, maxNewTokens: 40, stop: ['. She'] });
    expect(cut).toMatchObject({ text: ' named Lily', finish: 'stop-text' });
    generator.dispose();
  });
});
