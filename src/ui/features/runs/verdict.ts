/** What a run's losses say of it, and no more than they bear out. */
import type { LogRow } from '../../../core/events';
import { plural } from '../../../core/format';
import { formatLoss } from '../../format';

export type VerdictKind = 'none' | 'going' | 'learned' | 'memorised' | 'falling' | 'still' | 'diverged';

export interface Verdict {
  readonly kind: VerdictKind;
  /** One or two words, for lists; empty where nothing can be said. */
  readonly title: string;
  /** What happened, with the figures, and what to try. */
  readonly sentence: string;
}

interface Point {
  readonly step: number;
  readonly loss: number;
}

/** Steps with a loss before anything is said of a curve. */
const FEWEST = 6;
/** Steps that say where a loss began. */
const FIRST = 3;
/** A loss counts as fallen below this part of where it began. */
const FALLEN = 0.9;
/** It counts as risen above this part. */
const RISEN = 1.1;
/** In a few steps, each of other rows, it has above this part. */
const RISEN_AT_ONCE = 1.5;
/** A peak this far above the end is no easy or hard row: the run left where it was, and came back to another place. */
const LEAP = 1.5;
/** It ends above where it began by this part, then. */
const LEAP_ABOVE = 1.3;
/** A held-out loss this far above its best has turned: the run learns its own rows by heart. */
const TURNED = 1.05;
/** A held-out loss that fell by less than this part of what the loss fell by stayed where it was, */
const HELD_OUT_FALL = 0.1;
/** and one this far above the loss is another matter than the rows that were learned. */
const APART = 1.5;
/** Of what it fell by in the whole run, the part that it must fall by in the last quarter to be called still falling. */
const LAST_QUARTER = 0.12;

const TITLES: Readonly<Record<VerdictKind, string>> = {
  none: '',
  going: '',
  learned: 'learned',
  memorised: 'memorised',
  falling: 'still falling',
  still: 'not moving',
  diverged: 'diverged',
};

/**
 * @param isOver whether the run is done: one that trains is described, not judged
 * @param stepsLeft how many steps it was to train and has not: going on comes before any other advice
 */
export function judgeRun(rows: readonly LogRow[], isOver: boolean, stepsLeft = 0): Verdict {
  const trained = points(rows, 'loss');
  const heldOut = points(rows, 'eval_loss');
  const [first] = trained;
  const last = trained.at(-1);
  if (!first || !last) {
    return say('none', 'The loss is drawn here, step by step, as soon as training starts.');
  }
  const broken = [...trained, ...heldOut].find(({ loss }) => !Number.isFinite(loss));
  if (isOver && broken) {
    const since = broken.step > 1 ? `after step ${lastFinite(trained, broken.step)}` : 'from the first step on';
    return say('diverged', `The loss is no number any more ${since}: take a smaller learning rate.`);
  }
  if (trained.length === 1) return say('none', `The loss was ${formatLoss(last.loss)} at step ${last.step}.`);
  const path = `from ${formatLoss(first.loss)} at step ${first.step} to ${formatLoss(last.loss)} at step ${last.step}`;
  if (!isOver) return say('going', `The loss went ${path}.`);
  if (trained.length < FEWEST) {
    return last.loss > first.loss * RISEN_AT_ONCE
      ? say('diverged', `The loss rose at once, ${path}: take a smaller learning rate.`)
      : say('none', `The loss went ${path}: too few steps to say more.`);
  }
  const span = Math.max(1, Math.floor(trained.length / 8));
  // A loss that leaps up at once and comes down again began where it leapt from.
  const start = Math.min(mean(trained.slice(0, Math.max(FIRST, span))), mean(trained.slice(0, FIRST)));
  const end = mean(trained.slice(-span));
  // A single step may be of easy rows, or of hard ones: what it says otherwise than the rest isn't quoted.
  const isTrue = Math.sign(last.loss - first.loss) === Math.sign(end - start);
  const way = isTrue ? path : `from about ${formatLoss(start)} to about ${formatLoss(end)}`;
  const peak = trained.reduce((most, { loss }) => Math.max(most, loss), 0);
  const hasLeapt = peak > end * LEAP && end > first.loss * LEAP_ABOVE;
  if (hasLeapt) {
    return say(
      'diverged',
      `The loss leapt to ${formatLoss(peak)} and ended above where it began, ${path}: take a smaller learning rate.`,
    );
  }
  if (end > start * RISEN) {
    return say('diverged', `The loss rose, ${way}: take a smaller learning rate.`);
  }
  if (end >= start * FALLEN) {
    return say(
      'still',
      `The loss ended about where it began, ${path}: it learned next to nothing. Try another learning rate.`,
    );
  }
  const fell = `The loss fell ${way}`;
  const memorised = judgeHeldOut(heldOut, { start, end }, fell);
  if (memorised) return memorised;
  const quarter = trained.slice(-Math.max(2, Math.floor(trained.length / 4)));
  const half = Math.floor(quarter.length / 2);
  const late = mean(quarter.slice(0, half)) - mean(quarter.slice(-half));
  const more = late > LAST_QUARTER * (start - end) ? 'falling' : 'learned';
  const outside = describeHeldOut(heldOut);
  const further =
    stepsLeft > 0
      ? `the ${plural(stepsLeft, 'step')} that ${stepsLeft === 1 ? 'is' : 'are'} left would lower it further`
      : 'more epochs would lower it further';
  return more === 'falling'
    ? say('falling', `${fell}${outside}, and was still falling: ${further}.`)
    : outside
      ? say('learned', `${fell}${outside}.`)
      : {
          ...say('learned', `${fell}. No rows were held out, so nothing says how it answers others.`),
          title: 'loss fell',
        };
}

/** A run that learned its own rows alone. */
function judgeHeldOut(
  heldOut: readonly Point[],
  { start, end }: { readonly start: number; readonly end: number },
  fell: string,
): Verdict | undefined {
  const [first] = heldOut;
  const last = heldOut.at(-1);
  if (!first || !last || heldOut.length < 2) return undefined;
  const best = heldOut.reduce((one, other) => (other.loss < one.loss ? other : one));
  const hasStayed = last.loss > end * APART && first.loss - last.loss < HELD_OUT_FALL * (start - end);
  if (!hasStayed && last.loss <= best.loss * TURNED && last.loss <= first.loss) return undefined;
  const path = `from ${formatLoss(first.loss)} to ${formatLoss(last.loss)}`;
  const instead =
    best === first
      ? `rose ${path}`
      : last.loss <= Math.min(best.loss * TURNED, first.loss)
        ? `hardly fell, ${path}`
        : `was best at step ${best.step}, ${formatLoss(best.loss)}, and ended at ${formatLoss(last.loss)}`;
  const advice = 'it learned its rows by heart. Train for fewer epochs, or on more rows.';
  return say('memorised', `${fell}, but on the rows held out it ${instead}: ${advice}`);
}

function describeHeldOut(heldOut: readonly Point[]): string {
  const [first] = heldOut;
  const last = heldOut.at(-1);
  if (!first || !last) return '';
  if (first === last) return `; on the rows held out it is ${formatLoss(last.loss)}`;
  return `, and on the rows held out from ${formatLoss(first.loss)} to ${formatLoss(last.loss)}`;
}

function say(kind: VerdictKind, sentence: string): Verdict {
  return { kind, title: TITLES[kind], sentence };
}

function points(rows: readonly LogRow[], key: 'loss' | 'eval_loss'): Point[] {
  return rows.flatMap((row) => (row[key] === undefined ? [] : [{ step: row.step, loss: row[key] }]));
}

function mean(of: readonly Point[]): number {
  return of.reduce((sum, { loss }) => sum + loss, 0) / of.length;
}

/** The last step before `step` whose loss is a number. */
function lastFinite(of: readonly Point[], step: number): number {
  return of.findLast((point) => point.step < step && Number.isFinite(point.loss))?.step ?? step - 1;
}
