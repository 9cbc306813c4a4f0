import { describe, expect, test } from 'vitest';
import { chartData, findLastStep, isAlone, labelRoom } from '../../../src/ui/features/runs/loss-chart';

const row = (step: number, values: { loss?: number; eval_loss?: number }) => ({ epoch: 0, step, ...values });

describe('chartData', () => {
  test('is empty without rows', () => {
    expect(chartData([])).toEqual([[], [], [], []]);
  });

  test('puts training and evaluation of one step into one column, in the order of the steps', () => {
    const [steps, loss, , held] = chartData([
      row(2, { loss: 3 }),
      row(1, { loss: 4 }),
      row(2, { eval_loss: 3.5 }),
      row(3, { eval_loss: 3.2 }),
    ]);
    expect(steps).toEqual([1, 2, 3]);
    expect(loss).toEqual([4, 3, null]);
    expect(held).toEqual([null, 3.5, 3.2]);
  });

  test('a resumed step replaces the one before', () => {
    const [steps, loss] = chartData([row(1, { loss: 4 }), row(1, { loss: 5 })]);
    expect([steps, loss]).toEqual([[1], [5]]);
  });

  test('leaves a short run as it is, and smooths a long one around its level', () => {
    const noisy = (count: number) =>
      Array.from({ length: count }, (_, i) => row(i + 1, { loss: 2 + (i % 2 ? 0.5 : -0.5) }));
    const short = chartData(noisy(20));
    expect(short[2]).toEqual(short[1]);
    const [, , smoothed] = chartData(noisy(1000));
    for (const value of smoothed.slice(100)) expect(Math.abs(value! - 2)).toBeLessThan(0.05);
  });

  test('smoothing has no bias at the start', () => {
    const [, , smoothed] = chartData(Array.from({ length: 500 }, (_, i) => row(i + 1, { loss: 3 })));
    for (const value of smoothed) expect(value).toBeCloseTo(3, 9);
  });
});

describe('the axis of steps', () => {
  test('ends where the run will, and where it did once it is over', () => {
    expect(findLastStep([1, 2, 3], 500, false)).toBe(500);
    expect(findLastStep([1, 2, 3], 500, true)).toBe(3);
    expect(findLastStep([1, 2, 3], 0, false)).toBe(3); // not known yet
    expect(findLastStep([], 0, false)).toBeGreaterThan(0);
    expect(findLastStep([], 500, true)).toBeGreaterThan(0); // stopped before its first step
  });

  test('has room for the half of its last label that stands right of it', () => {
    for (const step of [8, 336, 50_000, 1_000_000]) {
      expect(labelRoom(step)).toBeGreaterThanOrEqual((step.toLocaleString().length * 8) / 2);
    }
  });
});

test('draws a dot where there is one value alone', () => {
  expect(isAlone([8.16])).toBe(true);
  expect(isAlone([null, 8.16, undefined])).toBe(true);
  expect(isAlone([8.16, 7])).toBe(false);
  expect(isAlone([null])).toBe(false);
});
