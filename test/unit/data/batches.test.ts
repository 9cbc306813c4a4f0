import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chunks, epochSteps, stepsPerEpoch, trainEvalSplit } from '../../../src/data/batches';
import { bucketLengths } from '../../../src/data/buckets';

const rows = (n: number) => Array.from({ length: n }, (_, i) => i);
const options = { batchSize: 2, gradientAccumulationSteps: 3, shuffle: true, seed: 42 };

describe('epochSteps', () => {
  it('keeps the order of the file where asked, and the last partial step', () => {
    expect(epochSteps(rows(9), 5, { ...options, shuffle: false })).toEqual([
      [
        [0, 1],
        [2, 3],
        [4, 5],
      ],
      [[6, 7], [8]],
    ]);
  });

  it('gives every row once an epoch, in an order that follows from seed and epoch alone', () => {
    const flat = (epoch: number, seed = 42) => epochSteps(rows(20), epoch, { ...options, seed }).flat(2);
    expect([...flat(0)].sort((a, b) => a - b)).toEqual(rows(20));
    expect(flat(0)).toEqual(flat(0));
    expect(flat(0)).not.toEqual(flat(1));
    expect(flat(0)).not.toEqual(flat(0, 43));
  });

  it('has as many steps as stepsPerEpoch says', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 60 }),
        fc.integer({ min: 1, max: 7 }),
        fc.integer({ min: 1, max: 7 }),
        (n, batchSize, accumulation) => {
          const used = { ...options, batchSize, gradientAccumulationSteps: accumulation };
          expect(epochSteps(rows(n), 0, used)).toHaveLength(stepsPerEpoch(n, used));
        },
      ),
    );
  });

  it('cuts lists', () => {
    expect(chunks(rows(5), 2)).toEqual([[0, 1], [2, 3], [4]]);
    expect(chunks([], 2)).toEqual([]);
  });
});

describe('trainEvalSplit', () => {
  it('holds out a fraction or a number of rows, the same for the same seed', () => {
    const split = trainEvalSplit(rows(10), 0.25, 1);
    expect([split.train.length, split.eval.length]).toEqual([7, 3]);
    expect([...split.train, ...split.eval].sort((a, b) => a - b)).toEqual(rows(10));
    expect(trainEvalSplit(rows(10), 0.25, 1)).toEqual(split);
    expect(trainEvalSplit(rows(10), 3, 1)).toEqual(split);
    expect(trainEvalSplit(rows(10), 3, 2)).not.toEqual(split);
    expect(trainEvalSplit(rows(3), 0, 1)).toEqual({ train: [0, 1, 2], eval: [] });
  });

  it('refuses to hold out all', () => {
    expect(() => trainEvalSplit(rows(3), 3, 1)).toThrow(/hold out 3 of 3 rows/);
    expect(() => trainEvalSplit(rows(1), 0.1, 1)).toThrow(/leave none/);
  });
});

describe('bucketLengths', () => {
  const padded = (lengths: number[], buckets: number[]) =>
    lengths.reduce((sum, length) => sum + (buckets.find((bucket) => bucket >= length) ?? NaN), 0);

  it('covers every row with few ascending lengths', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 600 }), { minLength: 1, maxLength: 200 }),
        fc.integer({ min: 8, max: 600 }),
        (lengths, maxLength) => {
          const buckets = bucketLengths(lengths, maxLength);
          const cut = lengths.map((length) => Math.min(length, maxLength));
          expect(buckets.length).toBeLessThanOrEqual(6);
          expect([...buckets].sort((a, b) => a - b)).toEqual(buckets);
          expect(buckets.at(-1)!).toBeGreaterThanOrEqual(Math.max(...cut));
          expect(buckets.at(-1)!).toBeLessThanOrEqual(maxLength);
          for (const bucket of buckets) expect(bucket % 8 === 0 || bucket === maxLength).toBe(true);
        },
      ),
    );
  });

  it('pads no more than any other choice of six multiples of eight', () => {
    const lengths = [3, 9, 17, 18, 25, 33, 33, 40, 41, 60, 64, 70, 71, 100, 120];
    const top = 120;
    const candidates = rows(14).map((i) => (i + 1) * 8);
    let least = Infinity;
    const choose = (from: number, chosen: number[]): void => {
      least = Math.min(least, padded(lengths, [...chosen, top]));
      if (chosen.length < 5) for (let i = from; i < candidates.length; i++) choose(i + 1, [...chosen, candidates[i]!]);
    };
    choose(0, []);
    expect(padded(lengths, bucketLengths(lengths, 512))).toBe(least);
  });

  it('gives one length where one is enough', () => {
    expect(bucketLengths([5, 7, 8], 512)).toEqual([8]);
    expect(bucketLengths([100], 20)).toEqual([20]);
  });

  it('stays quick where rows are long', () => {
    const buckets = bucketLengths(
      Array.from({ length: 5000 }, (_, i) => 1 + ((i * 7919) % 100_000)),
      131_072,
    );
    expect(buckets.at(-1)! % 1024).toBe(0);
    expect(buckets).toHaveLength(6);
  });
});
