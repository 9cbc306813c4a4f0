import { describe, expect, test } from 'vitest';
import type { LogRow } from '../../../src/core/events';
import { judgeRun } from '../../../src/ui/features/runs/verdict';

/** Rows of a run whose loss at each step is what the function gives, with a little noise that is the same each time. */
function curve(steps: number, loss: (step: number) => number, evaluated: readonly [step: number, loss: number][] = []) {
  const rows: LogRow[] = [];
  for (let step = 1; step <= steps; step++) {
    rows.push({ epoch: 1, step, loss: loss(step) * (1 + 0.03 * Math.sin(7 * step)) });
    const found = evaluated.find(([at]) => at === step);
    if (found) rows.push({ epoch: 1, step, eval_loss: found[1] });
  }
  return rows;
}

const falls = (step: number) => 0.1 + 4 * Math.exp(-step / 6);

describe('a run that is over', () => {
  test('learned where its loss fell and came to rest, and its held-out loss fell with it', () => {
    const { kind, sentence } = judgeRun(curve(60, falls, [[20, 1.2], [40, 0.9], [60, 0.88]]), true); // prettier-ignore
    expect(kind).toBe('learned');
    expect(sentence).toMatch(
      /^The loss fell from .* at step 1 to .* at step 60, and on the rows held out from 1\.200 to 0\.880\.$/,
    );
  });

  test('without held-out rows it learned, and nothing is claimed of other questions', () => {
    const { kind, title, sentence } = judgeRun(curve(60, falls), true);
    expect([kind, title]).toEqual(['learned', 'loss fell']);
    expect(sentence).toContain('No rows were held out');
  });

  test('memorised where the held-out loss turned or never fell', () => {
    const turned = judgeRun(curve(60, falls, [[20, 1.2], [40, 0.9], [60, 1.4]]), true); // prettier-ignore
    expect(turned.kind).toBe('memorised');
    expect(turned.sentence).toContain('best at step 40, 0.900, and ended at 1.400');
    const rose = judgeRun(curve(60, falls, [[30, 2], [60, 2.05]]), true); // prettier-ignore
    expect(rose.kind).toBe('memorised');
    expect(rose.sentence).toContain('rose from 2.000 to 2.050');
    const stayed = judgeRun(curve(60, falls, [[2, 4.393], [30, 4.3], [60, 4.314]]), true); // prettier-ignore
    expect(stayed.kind).toBe('memorised');
    expect(stayed.sentence).toContain('it hardly fell, from 4.393 to 4.314');
  });

  test('learned where its held-out loss was low from the first look on, as with a model that knew much', () => {
    const low = (step: number) => 1.2 + 0.8 * Math.exp(-step / 6);
    expect(judgeRun(curve(60, low, [[12, 1.3], [60, 1.24]]), true).kind).toBe('learned'); // prettier-ignore
  });

  test('was still falling where its end is not its rest', () => {
    expect(
      judgeRun(
        curve(24, (step) => 4 - step / 8),
        true,
      ).kind,
    ).toBe('falling');
    const stopped = (left: number) => judgeRun(curve(24, (step) => 4 - step / 8), true, left).sentence; // prettier-ignore
    expect(stopped(16)).toContain('the 16 steps that are left would lower it further');
    expect(stopped(1)).toContain('the 1 step that is left would');
    expect(stopped(0)).toContain('more epochs would lower it further');
  });

  test('did not move where the loss ends where it began, however it got there', () => {
    const { kind, sentence } = judgeRun(
      curve(24, (step) => 6.188 - step * 0.005),
      true,
    );
    expect(kind).toBe('still');
    expect(sentence).not.toContain('fell');
    expect(
      judgeRun(
        curve(24, (step) => 3 + 4 * Math.sin((Math.PI * (step - 0.5)) / 24)),
        true,
      ).kind,
    ).toBe('still');
  });

  test('diverged where the loss rose or is no number', () => {
    expect(
      judgeRun(
        curve(24, (step) => 2 + step / 4),
        true,
      ).kind,
    ).toBe('diverged');
    const { kind, sentence } = judgeRun([...curve(10, falls), { epoch: 1, step: 11, loss: NaN }], true);
    expect(kind).toBe('diverged');
    expect(sentence).toContain('after step 10');
  });

  test('diverged where the loss leapt up at once and stayed above where it began, low as it came again', () => {
    const leapt = (step: number) => (step < 4 ? 4.2 + 0.1 * step : step < 16 ? 12 - 0.2 * step : 6.7 + 2 / step);
    const { kind, sentence } = judgeRun(curve(112, leapt), true);
    expect(kind).toBe('diverged');
    expect(sentence).toMatch(/^The loss leapt to 1\d\.\d+ and .* began, from 4\.\d+ at step 1 to 6\.\d+ at step 112/);
    // From the second step on, as with a learning rate of 3.
    const atOnce = (step: number) => (step === 1 ? 3.76 : step < 12 ? 21 - step : 5.909);
    expect(judgeRun(curve(40, atOnce), true).kind).toBe('diverged');
  });

  test('an easy row at the start, and losses of nothing, are no divergence', () => {
    const losses = (...of: number[]) => of.map((loss, i) => ({ epoch: 1, step: i + 1, loss }));
    expect(judgeRun(losses(1, 4, 4, 4, 4, 3), true).kind).toBe('still');
    expect(judgeRun(losses(1, ...Array<number>(30).fill(4)), true).kind).not.toBe('learned');
    expect(judgeRun(losses(...Array<number>(12).fill(0)), true).kind).toBe('still');
  });

  test('diverged where a loss, held-out ones too, is no number, were it the first', () => {
    const [only] = [{ epoch: 1, step: 1, loss: NaN }];
    expect(judgeRun([only], true)).toMatchObject({ kind: 'diverged', sentence: expect.stringContaining('first step') });
    const heldOut = { epoch: 1, step: 60, eval_loss: NaN };
    expect(judgeRun([...curve(60, falls), heldOut], true).kind).toBe('diverged');
  });

  test('a step that says otherwise than the rest is not quoted', () => {
    const noisy = (step: number) => (step === 1 ? 0.2 : step === 60 ? 0.4 : falls(step));
    const { kind, sentence } = judgeRun(curve(60, noisy), true);
    expect(kind).not.toBe('diverged');
    expect(sentence).toMatch(/^The loss fell from about [\d.]+ to about 0\.1\d\d/);
  });

  test('of a few steps is not judged', () => {
    const { kind, sentence } = judgeRun(
      curve(3, (step) => 4 / step),
      true,
    );
    expect(kind).toBe('none');
    expect(sentence).toContain('at step 3');
    expect(judgeRun([], true).kind).toBe('none');
    const rose = judgeRun(
      curve(4, (step) => 5 * step),
      true,
    );
    expect(rose.kind).toBe('diverged');
    expect(rose.sentence).toContain('take a smaller learning rate');
  });
});

test('a run that trains is described and not judged', () => {
  const { kind, sentence } = judgeRun(curve(60, falls), false);
  expect(kind).toBe('going');
  expect(sentence).toMatch(/^The loss went from .* to .* at step 60\.$/);
});
