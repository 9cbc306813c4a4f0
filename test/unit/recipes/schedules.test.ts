import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { schedule, warmupSteps, type ScheduleOptions } from '../../../src/recipes/schedules';
import { hasReference, reference } from '../../support/reference';
import { run } from './support';

const rates = (overrides: Record<string, string>, total: number) => {
  const at = schedule(run(overrides), total);
  return Array.from({ length: total }, (_, step) => at(step));
};

describe('schedules, by Transformers’ formulas', () => {
  test('linear falls to 0 after the last step', () => {
    const actual = rates({ learning_rate: '1', lr_scheduler_type: 'linear', warmup_steps: '2' }, 6);
    expect(actual).toEqual([0, 0.5, 1, 0.75, 0.5, 0.25]);
  });

  test('cosine is half a period', () => {
    const actual = rates({ learning_rate: '2', lr_scheduler_type: 'cosine', warmup_ratio: '0' }, 4);
    const expected = [2, 1 + Math.SQRT1_2, 1, 1 - Math.SQRT1_2];
    actual.forEach((rate, step) => expect(rate).toBeCloseTo(expected[step]!, 12));
  });

  test('constant ignores the warm-up, constant_with_warmup has it', () => {
    const constant = { learning_rate: '3', lr_scheduler_type: 'constant', warmup_steps: '3' };
    expect(rates(constant, 4)).toEqual([3, 3, 3, 3]);
    expect(rates({ ...constant, lr_scheduler_type: 'constant_with_warmup' }, 5)).toEqual([0, 1, 2, 3, 3]);
  });

  test('polynomial ends at lr_end', () => {
    const options = { learning_rate: '1', lr_scheduler_type: 'polynomial', warmup_ratio: '0', lr_end: '0.2' };
    const straight = schedule(run(options), 4);
    expect([0, 1, 2, 3, 4, 5].map((step) => Number(straight(step).toFixed(12)))).toEqual([1, 0.8, 0.6, 0.4, 0.2, 0.2]);
    const squared = schedule(run({ ...options, power: '2' }), 4);
    expect(squared(2)).toBeCloseTo(0.2 + 0.8 * 0.25, 12);
  });

  test('polynomial refuses an end above the start', () => {
    const options = run({ learning_rate: '1e-8', lr_scheduler_type: 'polynomial' });
    expect(() => schedule(options, 4)).toThrow(/lr_end/);
  });

  test('the ratio of the warm-up is rounded up, and steps win over it', () => {
    const steps = (options: Partial<ScheduleOptions>, total: number) => warmupSteps({ ...run(), ...options }, total);
    expect(steps({ warmup_ratio: 0.03 }, 100)).toBe(3);
    expect(steps({ warmup_ratio: 0.03 }, 101)).toBe(4);
    expect(steps({ warmup_ratio: 0.03, warmup_steps: 7 }, 100)).toBe(7);
  });

  test('rates of a run that is all warm-up stay finite', () => {
    expect(rates({ learning_rate: '1', lr_scheduler_type: 'cosine', warmup_steps: '9' }, 3)).toEqual([0, 1 / 9, 2 / 9]);
  });

  test.skipIf(!hasReference)('the recorded trajectories, bit for bit', () => {
    const path = reference('golden/adapters/lora_all/trajectory.json');
    const { steps } = JSON.parse(readFileSync(path, 'utf8')) as { steps: { learning_rate: number }[] };
    const actual = rates({ learning_rate: '2e-3', lr_scheduler_type: 'cosine', warmup_steps: '3' }, 20);
    expect(actual).toEqual(steps.map(({ learning_rate }) => learning_rate));
  });
});
