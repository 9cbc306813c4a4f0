import { describe, expect, test } from 'vitest';
import { Random } from '../../../src/core/rng';
import { drawQuickly, QuickDrawScratch } from '../../../src/recipes/steps/quick-draw';
import { argmax, Sampler, type SamplingOptions } from '../../../src/recipes/steps/sampling';
import { sample as plainSample } from '../../reference/sampling';

const DRAWS = 20_000;

const sample = (values: Float32Array, options: SamplingOptions, random: Random) =>
  new Sampler(values.length).draw(values, options, random);

/** Logits of these probabilities. */
const logits = (...probabilities: number[]) => Float32Array.from(probabilities, Math.log);

function frequencies(values: Float32Array, options: Partial<SamplingOptions>, seed = 1): number[] {
  const random = new Random(seed);
  const counts = new Array<number>(values.length).fill(0);
  for (let i = 0; i < DRAWS; i++)
    counts[sample(values, { temperature: 1, topP: 1, topK: 0, ...options }, random)]! += 1;
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
      return Array.from({ length: 40 }, () => sample(values, { temperature: 1, topP: 1, topK: 0 }, random));
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
  'on the edges of powers of e': (random, n) => many(n, () => -Math.fround(Math.floor(400 * random.uniform()) / 10)),
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
        for (let i = 0; i < (n === 5000 ? 3 : 6); i++) {
          const expected = plainSample(logits, options, plain);
          expect(sampler.draw(logits, options, random), JSON.stringify({ n, options, i })).toBe(expected);
        }
        expect(random.index).toBe(plain.index);
      }
    }
  });

  test.each(['flat', 'peaked'])('a vocabulary of 151,936, %s, without sorting it', (name) => {
    const n = 151_936;
    const logits = SHAPES[name]!(new Random(1), n);
    const scratch = new QuickDrawScratch(n);
    const options = { temperature: 0.7, topP: 0.9, topK: 0 };
    let quick = 0;
    for (let seed = 0; seed < 12; seed++) {
      const expected = plainSample(logits, options, new Random(seed));
      const id = drawQuickly(scratch, logits, logits[argmax(logits)]!, options, new Random(seed).uniform());
      if (id !== undefined) {
        quick++;
        expect(id).toBe(expected);
      }
    }
    expect(quick).toBeGreaterThan(10);
  });
});
