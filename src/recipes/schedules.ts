/**
 * Learning rate schedules with the formulas of Transformers (`optimization.py`): a multiplier of the peak learning rate
 * for each optimiser step, counted from 0 as `LambdaLR` counts. The first step of a warm-up has rate 0.
 */
import type { RunConfig } from '../core/config';
import { GraftError } from '../core/errors';
import { plural } from '../core/format';

export type ScheduleOptions = Pick<
  RunConfig,
  'learning_rate' | 'lr_scheduler_type' | 'warmup_ratio' | 'warmup_steps' | 'lr_end' | 'power'
>;

/** The learning rate of an optimiser step, counted from 0. */
export type Schedule = (step: number) => number;

/** Steps of warm-up: `warmup_steps` where above 0, else the ratio of all steps, rounded up. */
export function warmupSteps(options: ScheduleOptions, totalSteps: number): number {
  return options.warmup_steps > 0 ? options.warmup_steps : Math.ceil(totalSteps * options.warmup_ratio);
}

/** @throws `bad-config` for a polynomial schedule that would have to rise. */
export function schedule(options: ScheduleOptions, totalSteps: number): Schedule {
  const peak = options.learning_rate;
  if (options.lr_scheduler_type === 'polynomial' && options.lr_end >= peak) {
    throw new GraftError('bad-config', `lr_end is ${options.lr_end} and must be below learning_rate, ${peak}.`);
  }
  const warmup = options.lr_scheduler_type === 'constant' ? 0 : warmupSteps(options, totalSteps);
  const decay = DECAYS[options.lr_scheduler_type];
  return (step) => {
    if (step < warmup) return peak * (step / Math.max(1, warmup));
    return peak * decay({ step, warmup, total: totalSteps, peak, options });
  };
}

/** Says where a run has learning rate 0 from its first step to its last, and so changes nothing; else undefined. */
export function idleRun(options: ScheduleOptions, totalSteps: number): string | undefined {
  const rate = schedule(options, totalSteps);
  for (let step = 0; step < totalSteps; step++) if (rate(step) > 0) return undefined;
  const warmup = plural(warmupSteps(options, totalSteps), 'step');
  return (
    `This run changes nothing: the learning rate of ${totalSteps === 1 ? 'its only step' : `all ${totalSteps} steps`} is 0, ` +
    `because a warm-up of ${warmup} begins with 0. Set warmup_ratio: 0 and warmup_steps: 0, or train for more steps.`
  );
}

interface Position {
  readonly step: number;
  readonly warmup: number;
  readonly total: number;
  readonly peak: number;
  readonly options: ScheduleOptions;
}

/** Part of the decay that is behind, 0 to 1. */
function progress({ step, warmup, total }: Position): number {
  return (step - warmup) / Math.max(1, total - warmup);
}

/** The multiplier after the warm-up. */
const DECAYS: Readonly<Record<RunConfig['lr_scheduler_type'], (at: Position) => number>> = {
  constant: () => 1,
  constant_with_warmup: () => 1,
  linear: ({ step, warmup, total }) => Math.max(0, (total - step) / Math.max(1, total - warmup)),
  // Half a period (num_cycles 0.5).
  cosine: (at) => Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress(at)))),
  polynomial: ({ step, warmup, total, peak, options }) => {
    if (step > total) return options.lr_end / peak;
    const left = 1 - (step - warmup) / (total - warmup);
    return ((peak - options.lr_end) * left ** options.power + options.lr_end) / peak;
  },
};
