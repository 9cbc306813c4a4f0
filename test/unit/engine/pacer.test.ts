import { describe, expect, it } from 'vitest';
import { SubmitPacer, type PacedWork } from '../../../src/engine/runtime/pacer';

/** Cost of a dispatch that is large enough to learn from. */
const COST = 1e9;
const product: PacedWork = { kind: 'matmul', cost: COST };
const attention: PacedWork = { kind: 'attention', cost: COST };

const times = (count: number, work: PacedWork) => new Array<PacedWork>(count).fill(work);

function observed(milliseconds: number, work = product): SubmitPacer {
  const pacer = new SubmitPacer();
  for (let i = 0; i < 50; i++) pacer.observe([work], milliseconds);
  return pacer;
}

/** Dispatches of a tenth of the cost that make a submit. */
function fitting(pacer: SubmitPacer, { kind, cost }: PacedWork = product): number {
  return pacer.endOfSubmit(times(10_000, { kind, cost: cost / 10 }), 0);
}

/** A device on which kinds take so many milliseconds each runs `work` as often as that, in the submits that the pacer asks for. */
function runOn(
  pacer: SubmitPacer,
  taken: Record<string, number>,
  work: readonly PacedWork[],
  rounds: number,
): number[] {
  let submits: number[] = [];
  for (let round = 0; round < rounds; round++) {
    submits = [];
    for (let next = 0; next < work.length;) {
      const batch = work.slice(next, pacer.endOfSubmit(work, next));
      next += batch.length;
      submits.push(batch.reduce((sum, { kind, cost }) => sum + (taken[kind]! * cost) / COST, 0));
      pacer.observe(batch, submits.at(-1)!);
    }
  }
  return submits;
}

describe('a submit', () => {
  it('holds what the device does in a fifth of a second', () => {
    expect(fitting(observed(100.1))).toBe(19);
    expect(fitting(observed(999))).toBe(2);
  });

  it('holds one dispatch at least, however long that takes, at most so many, and what is left', () => {
    const slow = observed(100_000);
    expect(slow.endOfSubmit(times(3, product), 1)).toBe(2);
    const quick = observed(1);
    expect(quick.endOfSubmit(times(9, product), 2, 4)).toBe(6);
    expect(quick.endOfSubmit(times(9, product), 6, 4)).toBe(9);
    expect(quick.endOfSubmit([], 0)).toBe(0);
  });

  it('follows the rate of each kind: a quick one says nothing of a slow one', () => {
    const pacer = observed(10);
    for (let i = 0; i < 50; i++) pacer.observe([attention], 1000);
    expect(fitting(pacer, product)).toBeGreaterThan(150);
    expect(fitting(pacer, attention)).toBeLessThanOrEqual(2);
  });

  it('is of about the budget where kinds are mixed in a step, and one is a hundred times as slow', () => {
    const step = Array.from({ length: 6 }, () => [...times(30, product), ...times(3, attention)]).flat();
    const submits = runOn(new SubmitPacer(), { matmul: 1, attention: 100 }, step, 60);
    expect(Math.max(...submits)).toBeLessThan(260);
    // A step takes 1,980 ms; it is cut no finer than it has to be.
    expect(submits.length).toBeLessThan(16);
  });

  it('takes a kind that was not seen yet for as fast as all together', () => {
    expect(fitting(observed(100.1), attention)).toBe(19);
  });

  it('is not changed by submits too small to time', () => {
    const before = fitting(new SubmitPacer(), { kind: 'matmul', cost: 1e7 });
    expect(fitting(observed(1, { kind: 'matmul', cost: 10 }), { kind: 'matmul', cost: 1e7 })).toBe(before);
    expect(fitting(observed(0), { kind: 'matmul', cost: 1e7 })).toBe(before);
  });

  it('shrinks in steps, so that one odd submit does not rule', () => {
    const pacer = observed(100);
    pacer.observe([product], 1e6);
    expect(fitting(pacer)).toBeGreaterThan(10);
  });
});
