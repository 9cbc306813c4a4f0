import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Random } from '../../../src/core/rng';
import { drawExactly } from '../../../src/recipes/steps/exact-draw';
import { drawQuickly, QuickDrawScratch } from '../../../src/recipes/steps/quick-draw';
import { argmax, Sampler, type SamplingOptions } from '../../../src/recipes/steps/sampling';
import { sample as plainSample } from '../../reference/sampling';

const DRAWS = 20_000;

/** Logits of these probabilities. */
const logits = (...probabilities: number[]) => Float32Array.from(probabilities, Math.log);

function frequencies(values: Float32Array, options: Partial<SamplingOptions>, seed = 1): number[] {
  const random = new Random(seed);
  const sampler = new Sampler(values.length);
  const counts = new Array<number>(values.length).fill(0);
  for (let i = 0; i < DRAWS; i++)
    counts[sampler.draw(values, { temperature: 1, topP: 1, topK: 0, ...options }, random)]! += 1;
  return counts.map((count) => count / DRAWS);
}

/** Five standard deviations of a frequency. */
function expectFrequencies(actual: number[], expected: number[]): void {
  expected.forEach((p, i) =>
    expect(Math.abs(actual[i]! - p)).toBeLessThan(5 * Math.sqrt((p * (1 - p)) / DRAWS) + 1e-12),
  );
}

describe('sampling', () => {
  test('temperature 0 takes the likeliest, the first of equals', () => {
    expect(frequencies(logits(0.1, 0.45, 0.45), { temperature: 0 })).toEqual([0, 1, 0]);
    expect(argmax(Float32Array.of(-3, -1, -1))).toBe(1);
  });

  test('temperature 1 draws by probability', () => {
    expectFrequencies(frequencies(logits(0.5, 0.3, 0.15, 0.05), {}), [0.5, 0.3, 0.15, 0.05]);
  });

  test('temperature sharpens: probabilities to the power of its inverse', () => {
    const squares = [0.25, 0.09, 0.0225, 0.0025];
    const sum = squares.reduce((a, b) => a + b);
    const actual = frequencies(logits(0.5, 0.3, 0.15, 0.05), { temperature: 0.5 });
    expectFrequencies(
      actual,
      squares.map((p) => p / sum),
    );
  });

  test('top-p keeps the fewest that reach it, the one that crosses it included', () => {
    expectFrequencies(frequencies(logits(0.05, 0.5, 0.15, 0.3), { topP: 0.79 }), [0, 0.5 / 0.8, 0, 0.3 / 0.8]);
    expectFrequencies(frequencies(logits(0.05, 0.5, 0.15, 0.3), { topP: 0.81 }), [
      0,
      0.5 / 0.95,
      0.15 / 0.95,
      0.3 / 0.95,
    ]);
    expect(frequencies(logits(0.05, 0.5, 0.15, 0.3), { topP: 0 })).toEqual([0, 1, 0, 0]);
  });

  test('top-k keeps that many, and top-p counts among them', () => {
    expectFrequencies(frequencies(logits(0.05, 0.5, 0.15, 0.3), { topK: 2 }), [0, 0.625, 0, 0.375]);
    // 0.5 / 0.8 is 0.625 already.
    expect(frequencies(logits(0.05, 0.5, 0.15, 0.3), { topK: 2, topP: 0.6 })).toEqual([0, 1, 0, 0]);
  });

  test('the seed fixes the draws, and another one changes them', () => {
    const values = logits(0.25, 0.25, 0.25, 0.25);
    const draws = (seed: number) => {
      const random = new Random(seed);
      const sampler = new Sampler(4);
      return Array.from({ length: 40 }, () => sampler.draw(values, { temperature: 1, topP: 1, topK: 0 }, random));
    };
    expect(draws(5)).toEqual(draws(5));
    expect(draws(5)).not.toEqual(draws(6));
  });

  test('huge logits overflow nothing', () => {
    expect(frequencies(Float32Array.of(3e38, -3e38, 3e38), {})[1]).toBe(0);
  });
});

type Shape = (random: Random, n: number) => Float32Array;
const many = (n: number, value: (i: number) => number) => Float32Array.from({ length: n }, (_, i) => value(i));

/** Logits of every kind, n of them. */
const SHAPES: Readonly<Record<string, Shape>> = {
  flat: (random, n) => many(n, () => 2 * random.uniform() - 1),
  peaked: (random, n) => many(n, (i) => 2.5 * random.normal() + (i % 97 === 5 ? 9 : 0)),
  'one far above': (random, n) => many(n, (i) => random.normal() + (i === n >> 1 ? 60 : 0)),
  'all equal': (_, n) => many(n, () => 0.5),
  'few values': (random, n) => many(n, () => Math.floor(4 * random.uniform())),
  'rounded to 16 bits': (random, n) => many(n, () => Math.round(8 * 3 * random.normal()) / 8),
  'a staircase': (_, n) => many(n, (i) => -(i % 12) / 4),
  'equal but for rounding': (random, n) => many(n, () => 1e-18 * random.normal()),
  'far below zero, in equal weights': (random, n) => many(n, (i) => (i === 3 ? 0 : -800 - random.uniform())),
  'mostly masked': (random, n) => many(n, (i) => (i % 5 === 2 ? random.normal() : -Infinity)),
  huge: (random, n) => many(n, () => 3e38 * (2 * random.uniform() - 1)),
  'none possible': (_, n) => many(n, () => -Infinity),
  'one certain': (random, n) => many(n, (i) => (i === 2 ? Infinity : random.normal())),
  'NaN at first': (random, n) => many(n, (i) => (i === 0 ? NaN : random.normal())),
  'NaN in between': (random, n) => many(n, (i) => (i % 7 === 3 ? NaN : random.normal())),
};
const OPTIONS: readonly SamplingOptions[] = [0.1, 0.7, 1, 2, 300]
  .flatMap((temperature) =>
    [0, 0.1, 0.5, 0.9, 0.999999, 1].flatMap((topP) => [0, 1, 3, 50, 1e6].map((topK) => ({ temperature, topP, topK }))),
  )
  .concat([{ temperature: 0, topP: 0.9, topK: 5 }]);

describe('draws are those of a sort of the whole vocabulary', () => {
  test.each(Object.keys(SHAPES))('%s', (name) => {
    for (const n of [1, 2, 7, 300, 5000]) {
      const values = new Random(n, 3);
      const sampler = new Sampler(n);
      for (const [seed, options] of OPTIONS.entries()) {
        if (n === 5000 && seed % 11 !== 0) continue;
        const logits = SHAPES[name]!(values, n);
        const [random, plain] = [new Random(seed), new Random(seed)];
        const untouched = logits.slice();
        for (let i = 0; i < (n === 5000 ? 3 : 6); i++) {
          const expected = plainSample(logits, options, plain);
          expect(sampler.draw(logits, options, random), JSON.stringify({ n, options, i })).toBe(expected);
        }
        expect(random.index).toBe(plain.index);
        expect(logits).toEqual(untouched);
      }
    }
  });

  test('beside min-p and a penalty that change nothing', () => {
    const logits = SHAPES['peaked']!(new Random(4), 300);
    const options = { temperature: 1, topP: 0.9, topK: 0 };
    const sampler = new Sampler(300);
    const [random, plain] = [new Random(6), new Random(6)];
    for (let i = 0; i < 200; i++) {
      const neutral = { ...options, minP: 0, repetitionPenalty: 1 };
      expect(sampler.draw(logits, neutral, random, [1, 5])).toBe(plainSample(logits, options, plain));
    }
  });

  test('where weights that differ in their last bit lie on both sides of the edge of a bucket', () => {
    const n = 300;
    const steps = [0, 2 ** -52, -(2 ** -52), 2 ** -53, 2 ** -60, -(2 ** -53)];
    const logits = many(n, (i) => (i === 40 ? 1 : steps[i % steps.length]!));
    for (const edge of [1, 64, 100]) {
      const options = { temperature: (144 * Math.SQRT2) / edge, topP: 0.9, topK: 0 };
      const [random, plain] = [new Random(edge), new Random(edge)];
      const sampler = new Sampler(n);
      for (let i = 0; i < 200; i++)
        expect(sampler.draw(logits, options, random), `draw ${i}`).toBe(plainSample(logits, options, plain));
    }
  });

  test('where top-p is what some tokens weigh, so that rounding decides on the next', () => {
    for (let i = 0; i < 300; i++) {
      const below = -0.37 - i / 500;
      const weight = Math.exp(Math.fround(below));
      const count = 2 + (i % 6);
      const options = { temperature: 1, topP: (1 + count * weight) / (1 + 9 * weight), topK: 0 };
      const logits = many(10, (id) => (id === 4 ? 0 : below));
      const [random, plain] = [new EvenSteps(40), new EvenSteps(40)];
      const sampler = new Sampler(10);
      const draws = Array.from({ length: 40 }, () => sampler.draw(logits, options, random));
      expect(draws, `${i}`).toEqual(Array.from({ length: 40 }, () => plainSample(logits, options, plain)));
    }
  });

  test.each(['flat', 'peaked', 'rounded to 16 bits', 'mostly masked'])(
    'with min-p, and hardly ever by it: %s',
    (name) => {
      const n = 2000;
      const scratch = new QuickDrawScratch(n);
      let quick = 0;
      for (let i = 0; i < 300; i++) {
        const random = new Random(i, 9);
        const logits = SHAPES[name]!(random, n);
        const [temperature, topP, topK, minP] = [
          [0.3, 1, 3],
          [1, 0.9],
          [0, 200],
          [0.01, 0.3, 0],
        ].map((values) => values[Math.floor(values.length * random.uniform())]!) as [number, number, number, number];
        const options = { temperature, topP, topK, minP };
        const uniform = random.uniform();
        const id = drawQuickly(scratch, logits, logits[argmax(logits)]!, options, uniform);
        if (id === undefined) continue;
        quick++;
        expect(id, JSON.stringify({ i, options, uniform })).toBe(drawExactly(logits, options, uniform));
      }
      expect(quick).toBeGreaterThan(290);
    },
  );

  test.each(['flat', 'peaked'])('a vocabulary of 151,936, %s, without sorting it', (name) => {
    const n = 151_936;
    const logits = SHAPES[name]!(new Random(1), n);
    const scratch = new QuickDrawScratch(n);
    const options = { temperature: 0.7, topP: 0.9, topK: 0 };
    let quick = 0;
    for (let seed = 0; seed < 6; seed++) {
      const expected = plainSample(logits, options, new Random(seed));
      const id = drawQuickly(scratch, logits, logits[argmax(logits)]!, options, new Random(seed).uniform());
      if (id !== undefined) {
        quick++;
        expect(id).toBe(expected);
      }
    }
    expect(quick).toBeGreaterThan(4);
  });
});

/** Goes through [0, 1) in even steps, so that a token's share of the draws is its probability. */
class EvenSteps extends Random {
  constructor(private readonly steps: number) {
    super(0);
  }

  override uniform(): number {
    return (this.index++ + 0.5) / this.steps;
  }
}

interface TransformersCase {
  readonly options: Readonly<Record<string, number>>;
  readonly previous: number[];
  readonly logits: number[];
  readonly probabilities: number[];
}

describe('probabilities are those of Transformers', () => {
  const cases = JSON.parse(readFileSync('test/golden/sampling.json', 'utf8')) as TransformersCase[];
  const steps = 5000;

  test.each(cases.map((one) => [JSON.stringify(one.options), one] as const))('%s', (_, one) => {
    const { temperature = 1, top_p: topP = 1, top_k: topK = 0, ...others } = one.options;
    const { min_p: minP = 0, repetition_penalty: repetitionPenalty = 1 } = others;
    const logits = Float32Array.from(one.logits);
    const sampler = new Sampler(logits.length);
    const random = new EvenSteps(steps);
    const counts = one.logits.map(() => 0);
    const options = { temperature, topP, topK, minP, repetitionPenalty };
    for (let i = 0; i < steps; i++) counts[sampler.draw(logits, options, random, one.previous)]!++;
    expect(logits).toEqual(Float32Array.from(one.logits));
    counts.forEach((count, id) => {
      const expected = one.probabilities[id]!;
      expect(Math.abs(count / steps - expected), `token ${id}`).toBeLessThan(1.01 / steps);
      if (expected === 0) expect(count, `token ${id}`).toBe(0);
    });
  });

  test('the penalty holds for the likeliest token too', () => {
    const sampler = new Sampler(4);
    const likeliest = (repetitionPenalty: number, previous: number[]) =>
      sampler.draw(
        Float32Array.of(2, 3, -1, -3),
        { temperature: 0, topP: 1, topK: 0, repetitionPenalty },
        new Random(0),
        previous,
      );
    expect(likeliest(1, [1, 1])).toBe(1);
    expect(likeliest(1.6, [1, 1])).toBe(0);
    expect(likeliest(1.4, [1, 1])).toBe(1); // once, however often it came: 3 / 1.4 is more than 2
    expect(likeliest(1.6, [2])).toBe(1);
  });
});
