import { describe, expect, it } from 'vitest';
import { rowsPerStep, withMicroBatchOf, withSmallerMicroBatch } from '../../../src/recipes/steps/micro-batch';
import { run } from './support';

const split = (size: number, steps: number) =>
  run({ per_device_train_batch_size: String(size), gradient_accumulation_steps: String(steps) });

describe('a smaller micro-batch', () => {
  it.each([
    [8, 1, 4, 2],
    [4, 4, 2, 8],
    [6, 1, 3, 2],
    [5, 2, 2, 5],
    [7, 1, 1, 7],
    [3, 3, 1, 9],
  ])('than %i rows, %i times, is %i rows, %i times', (size, steps, smaller, more) => {
    const found = withSmallerMicroBatch(split(size, steps))!;
    expect(found).toEqual(split(smaller, more));
    expect(rowsPerStep(found)).toBe(size * steps);
  });

  it('than one row is not there', () => {
    expect(withSmallerMicroBatch(split(1, 16))).toBeUndefined();
  });
});

describe('the micro-batch of a checkpoint', () => {
  it('is taken over where it is smaller and the rows of a step are the same', () => {
    expect(withMicroBatchOf(split(8, 2), split(4, 4))).toEqual(split(4, 4));
    expect(withMicroBatchOf(split(4, 4), split(8, 2))).toEqual(split(4, 4));
    expect(withMicroBatchOf(split(8, 2), split(4, 2))).toEqual(split(8, 2));
  });
});
