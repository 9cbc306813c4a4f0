/** Settings that are allowed and can hardly be meant: each is said by its field, and none keeps a run from being started. */
import type { RunConfig, RunConfigKey } from '../../../core/config';
import { evaluationSteps } from '../../../core/evaluation-steps';
import { formatCount, plural } from '../../../core/format';
import { FEWEST_STEPS, formatRate } from './presets';

/** What is known of the next run; what isn't yet is undefined. */
export interface WarningFacts {
  readonly config: RunConfig;
  /** Rows of the data, and those of them that are cut. */
  readonly rows: number | undefined;
  readonly truncated: number | undefined;
  readonly totalSteps: number | undefined;
}

export type Warnings = Readonly<Partial<Record<RunConfigKey, string>>>;

/** A sentence where something is wrong. */
type Rule = readonly [key: RunConfigKey, warn: (config: RunConfig, facts: Required<Known>) => string | undefined];

interface Known {
  readonly rows: number;
  readonly truncated: number;
  readonly totalSteps: number;
}

/** A learning rate from which the loss mostly rises, and one below which nothing moves. */
const RATES = {
  adapter: { most: 1e-2, least: 1e-6, usual: '1e-5 to 5e-3' },
  full: { most: 1e-3, least: 1e-8, usual: '1e-6 to 5e-4' },
  prompt: { most: 10, least: 1e-5, usual: '1e-3 to 0.3' },
};
/** Passes over so many rows that only teach them by heart. */
const MOST_EPOCHS = [
  { rows: 20_000, epochs: 10 },
  { rows: 1000, epochs: 30 },
  { rows: 0, epochs: 100 },
];
const FEWEST_EVALUATIONS = 5;
const MOST_CUT = 0.2;
const HIGHEST_RANK = 256;
const LARGEST_SCALE = 8;
const MOST_DROPOUT = 0.5;
const MOST_WARMUP = 0.5;

/** In the order in which the form has the fields. The first sentence of a field is the one that is shown. */
const RULES: readonly Rule[] = [
  [
    'learning_rate',
    ({ learning_rate: rate, use_peft, peft_type }) => {
      const isPrompt = use_peft && peft_type === 'PROMPT_TUNING';
      const { most, least, usual } = isPrompt ? RATES.prompt : use_peft ? RATES.adapter : RATES.full;
      const whole = isPrompt ? 'a prompt' : use_peft ? 'an adapter' : 'every parameter';
      if (rate >= most)
        return `${formatRate(rate)} is so large that the loss will most likely rise: ${whole} learns at ${usual}.`;
      if (rate < least) return `${formatRate(rate)} is so small that nothing will change: ${whole} learns at ${usual}.`;
      return undefined;
    },
  ],
  [
    'num_train_epochs',
    ({ num_train_epochs: epochs, max_steps }, { rows }) =>
      max_steps <= 0 && epochs > mostEpochs(rows)
        ? `${formatCount(epochs)} times through ${plural(rows, 'row')} teaches them by heart, and nothing else: ${mostEpochs(rows)} are plenty.`
        : undefined,
  ],
  ['num_train_epochs', ({ max_steps }, { totalSteps }) => (max_steps <= 0 ? warnOfFewSteps(totalSteps) : undefined)],
  [
    'max_steps',
    (config, { rows, totalSteps }) => {
      if (config.max_steps <= 0 || config.packing) return undefined;
      const epochs = Math.round((totalSteps * rowsPerStep(config)) / rows);
      return epochs > mostEpochs(rows)
        ? `${plural(totalSteps, 'step')} are ${formatCount(epochs)} times through ${plural(rows, 'row')}, which teaches them by heart, and nothing else.`
        : warnOfFewSteps(totalSteps);
    },
  ],
  [
    'per_device_train_batch_size',
    (config, { rows }) =>
      !config.packing && config.per_device_train_batch_size > rows
        ? `There ${rows === 1 ? 'is' : 'are'} only ${plural(rows, 'row')}: a batch can't be larger than that.`
        : undefined,
  ],
  [
    'gradient_accumulation_steps',
    (config, { rows }) =>
      !config.packing && config.gradient_accumulation_steps > 1 && rowsPerStep(config) > rows
        ? `A step would take ${plural(rowsPerStep(config), 'row')}, and there are only ${formatCount(rows)}: each pass is one step.`
        : undefined,
  ],
  [
    'max_length',
    ({ max_length }, { rows, truncated }) =>
      truncated >= MOST_CUT * rows && truncated > 0
        ? `${formatCount(truncated)} of ${plural(rows, 'row')} are longer than ${formatCount(max_length)} tokens, and lose their end.`
        : undefined,
  ],
  [
    'lora_r',
    ({ lora_r, use_peft }) =>
      use_peft && lora_r > HIGHEST_RANK
        ? `A rank above ${HIGHEST_RANK} takes memory and time, and seldom learns more.`
        : undefined,
  ],
  [
    'lora_alpha',
    ({ lora_alpha, lora_r, use_peft, use_rslora }) => {
      const scale = lora_alpha / (use_rslora ? Math.sqrt(lora_r) : lora_r);
      return use_peft && scale > LARGEST_SCALE
        ? `It multiplies what the adapter adds by ${Number(scale.toPrecision(2))}: about twice the rank is usual.`
        : undefined;
    },
  ],
  [
    'lora_dropout',
    ({ lora_dropout, use_peft }) =>
      use_peft && lora_dropout >= MOST_DROPOUT
        ? 'It leaves out half of what the adapter reads, or more: 0 to 0.1 is usual.'
        : undefined,
  ],
  [
    'warmup_steps',
    (config, { totalSteps }) => (config.warmup_steps > 0 ? warnOfWarmup(config, totalSteps) : undefined),
  ],
  [
    'warmup_ratio',
    (config, { totalSteps }) => (config.warmup_steps > 0 ? undefined : warnOfWarmup(config, totalSteps)),
  ],
  [
    'val_set_size',
    ({ val_set_size: held }, { rows }) =>
      (held < 1 ? held : held / rows) > 0.5 ? 'More rows are held out than are trained on.' : undefined,
  ],
  [
    'eval_steps',
    ({ eval_steps = 0, val_set_size }, { totalSteps }) => {
      if (val_set_size === 0 || eval_steps === 0) return undefined;
      if (eval_steps > totalSteps)
        return `The run has only ${plural(totalSteps, 'step')}: it is evaluated once, at its end.`;
      const usual = evaluationSteps({}, totalSteps);
      return Math.ceil(totalSteps / eval_steps) < FEWEST_EVALUATIONS && eval_steps > usual
        ? `It is evaluated too seldom in ${plural(totalSteps, 'step')} to see where it turns: leave this empty for every ${plural(usual, 'step')}.`
        : undefined;
    },
  ],
  [
    'early_stopping_patience',
    ({ early_stopping_patience: patience, val_set_size }) =>
      patience > 0 && val_set_size === 0 ? 'No rows are held out, so nothing says when to stop.' : undefined,
  ],
];

export function warnOf({ config, ...facts }: WarningFacts): Warnings {
  const { rows = NaN, truncated = NaN, totalSteps = NaN } = facts; // with NaN no comparison holds
  const warnings: Partial<Record<RunConfigKey, string>> = {};
  for (const [key, warn] of RULES) {
    const sentence = warnings[key] ?? warn(config, { rows, truncated, totalSteps });
    if (sentence !== undefined) warnings[key] = sentence;
  }
  return warnings;
}

function warnOfFewSteps(totalSteps: number): string | undefined {
  return totalSteps < FEWEST_STEPS
    ? `The run has only ${plural(totalSteps, 'step')}: too few to learn from.`
    : undefined;
}

function warnOfWarmup(
  { warmup_steps, warmup_ratio, lr_scheduler_type }: RunConfig,
  totalSteps: number,
): string | undefined {
  if (lr_scheduler_type === 'constant') return undefined;
  const share = warmup_steps > 0 ? warmup_steps / totalSteps : warmup_ratio;
  if (share >= 1) return 'The warm-up takes the whole run: the learning rate is never reached.';
  return share > MOST_WARMUP ? 'The warm-up takes more than half of the run.' : undefined;
}

function mostEpochs(rows: number): number {
  return MOST_EPOCHS.find((limit) => rows >= limit.rows)?.epochs ?? Infinity;
}

function rowsPerStep({ per_device_train_batch_size, gradient_accumulation_steps }: RunConfig): number {
  return per_device_train_batch_size * gradient_accumulation_steps;
}
