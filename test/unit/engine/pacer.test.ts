import { describe, expect, it } from 'vitest';
import { SubmitPacer } from '../../../src/engine/runtime/pacer';

/** Cost of a submit that is large enough to learn from. */
const COST = 1e9;

function observed(milliseconds: number, cost = COST): SubmitPacer {
  const pacer = new SubmitPacer();
  for (let i = 0; i < 50; i++) pacer.observe(cost, milliseconds);
  return pacer;
}

describe('the submit budget', () => {
  it('settles at what the device does in a fifth of a second', () => {
    expect(observed(100).budget).toBeCloseTo(2 * COST, -3);
    expect(observed(1000).budget).toBeCloseTo(COST / 5, -3);
  });

  it('does not learn from submits too small to time', () => {
    const { budget } = new SubmitPacer();
    expect(observed(1, 10).budget).toBe(budget);
    expect(observed(0).budget).toBe(budget);
  });

  it('moves in steps, so that one odd submit does not rule', () => {
    const pacer = observed(100);
    pacer.observe(COST, 1e6);
    expect(pacer.budget).toBeGreaterThan(COST);
  });
});
