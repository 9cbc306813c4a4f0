import { describe, expect, test } from 'vitest';
import { Random } from '../../../src/core/rng';
import { argmax, sample, type SamplingOptions } from '../../../src/recipes/steps/sampling';

const DRAWS = 20_000;

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
