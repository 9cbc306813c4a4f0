/**
 * Settings to begin with, by the size of the model and the number of rows: Quick shows that something is learned,
 * Balanced is the run that most people want, Thorough takes twice as long and smaller steps.
 *
 * Where the figures come from, and what they are for other sizes:
 * - Learning rate of an adapter: 2e-4, as in QLoRA (Dettmers et al. 2023, table 9) and TRL's own commands for LoRA; 1e-4
 *   from 33B on (the same table). Small models bear more: 5e-4 below a billion parameters.
 * - Every parameter takes a tenth of an adapter's rate (Schulman et al. 2025, "LoRA Without Regret"; TRL: 2e-5 against
 *   2e-4).
 * - Rank 16 and an alpha of twice the rank on every linear, dropout 0.05: what PEFT's and Unsloth's guides begin with, and
 *   the run file's defaults. A higher rank takes up more, and needs more rows for it.
 * - One to three epochs, as these guides say, but never so few that an adapter has hardly moved: at least 60 steps for
 *   Balanced, 20 for Quick, as long as that is no more than 10 or 3 epochs.
 * - 16 rows to a step (QLoRA), fewer where that would leave too few steps, and never more than there are. Small batches
 *   cost LoRA nothing (Schulman et al.).
 * - Rows are read whole up to 2,048 tokens, where the model reads as many: a cut answer teaches a cut answer.
 * - A model of a few million parameters, such as the built-in starter, begins with next to nothing to build on: 4 times
 *   the epochs at 5e-3, found by trying on the policy pairs.
 */
import type { RunConfig } from '../../../core/config';

export const PRESETS = ['quick', 'balanced', 'thorough'] as const;

export type PresetName = (typeof PRESETS)[number];

export const PRESET_TITLES: Readonly<Record<PresetName, string>> = {
  quick: 'Quick',
  balanced: 'Balanced',
  thorough: 'Thorough',
};

/** What a preset depends on. */
export interface PresetFacts {
  /** Of the model. */
  readonly parameters: number;
  /** The most tokens that it reads. */
  readonly maxPositions: number;
  /** It comes from the Hub, where most are larger than people expect. */
  readonly isOnHub: boolean;
  /** An adapter is trained, and not every parameter. */
  readonly usesAdapter: boolean;
  /** Rows to train on, and the tokens of the longest, before any cut. */
  readonly rows: number;
  readonly longest: number;
}

/** The settings that a preset makes. All others are the run file's defaults. */
export const PRESET_KEYS = [
  'learning_rate',
  'lr_scheduler_type',
  'warmup_ratio',
  'num_train_epochs',
  'max_steps',
  'per_device_train_batch_size',
  'gradient_accumulation_steps',
  'max_length',
  'lora_r',
  'lora_alpha',
  'lora_dropout',
  'load_in_4bit',
  'gradient_checkpointing',
] as const satisfies readonly (keyof RunConfig)[];

export type PresetSettings = Pick<RunConfig, (typeof PRESET_KEYS)[number]>;

/** Parameters below which a model has learned next to nothing yet. */
const TINY = 50e6;
/** Parameters from which base weights are kept in 4 bits, wherever the model comes from. */
const LARGE = 1e9;

/** Steps of a run below which nothing is learned, whatever it is trained on. */
export const FEWEST_STEPS = 5;

/** Tokens of a row that a preset reads at most. */
const LONGEST_ROW = 2048;

/** Tokens of a micro-batch: enough to keep a GPU busy, few enough for a small one. */
const MICRO_BATCH_TOKENS = 2048;

interface Measures {
  /** Parts of Balanced's learning rate. */
  readonly rate: number;
  readonly rank: number;
  readonly maxLength: number;
  /** Epochs over few rows, `fewestSteps` allowing, and the most of them. */
  readonly epochs: number;
  readonly fewestSteps: number;
  readonly mostEpochs: number;
  /** Steps after which it stops, however many rows there are. */
  readonly mostSteps: number;
}

const MEASURES: Readonly<Record<PresetName, Measures>> = {
  quick: { rate: 1, rank: 8, maxLength: 512, epochs: 1, fewestSteps: 20, mostEpochs: 3, mostSteps: 100 },
  balanced: { rate: 1, rank: 16, maxLength: 512, epochs: 3, fewestSteps: 60, mostEpochs: 10, mostSteps: Infinity },
  thorough: { rate: 0.5, rank: 32, maxLength: 1024, epochs: 6, fewestSteps: 120, mostEpochs: 20, mostSteps: Infinity },
};

export function presetSettings(name: PresetName, facts: PresetFacts): PresetSettings {
  const { parameters, maxPositions, usesAdapter, rows } = facts;
  const measures = MEASURES[name];
  const isTiny = parameters < TINY;
  const maxLength = Math.min(Math.max(measures.maxLength, wholeRow(facts.longest)), maxPositions);
  const batch = rows < 250 ? powerOf2Below(rows, 4) : rows < 2500 ? 8 : 16;
  const microBatch = powerOf2Below(
    MICRO_BATCH_TOKENS / Math.max(1, Math.min(facts.longest, maxLength)),
    Math.min(batch, 4),
  );
  const stepsPerEpoch = Math.max(1, Math.ceil(rows / batch));
  const times = isTiny ? 4 : 1;
  const epochs = countEpochs(measures, stepsPerEpoch, rows) * times;
  const rank = measures.rank * (isTiny ? 2 : 1);
  return {
    learning_rate: round(adapterRate(parameters) * measures.rate * (usesAdapter ? 1 : 0.1)),
    lr_scheduler_type: 'linear',
    warmup_ratio: 0.05,
    num_train_epochs: epochs,
    max_steps: stepsPerEpoch * epochs > measures.mostSteps * times ? measures.mostSteps * times : -1,
    per_device_train_batch_size: microBatch,
    gradient_accumulation_steps: batch / microBatch,
    max_length: maxLength,
    lora_r: rank,
    lora_alpha: 2 * rank,
    lora_dropout: isTiny ? 0 : 0.05,
    load_in_4bit: usesAdapter && (facts.isOnHub || parameters >= LARGE),
    gradient_checkpointing: !isTiny,
  };
}

/** A preset's settings in a line, as somebody who knows LoRA would say them. */
export function describePreset(settings: PresetSettings, usesAdapter: boolean): string {
  const { per_device_train_batch_size: batch, gradient_accumulation_steps: batches, max_steps: steps } = settings;
  return [
    steps > 0 ? `${steps} steps` : settings.num_train_epochs === 1 ? '1 epoch' : `${settings.num_train_epochs} epochs`,
    `learning rate ${formatRate(settings.learning_rate)}`,
    ...(usesAdapter ? [`rank ${settings.lora_r}`] : []),
    `${batch * batches} rows a step`,
    ...(settings.load_in_4bit ? ['4 bits'] : []),
  ].join(', ');
}

/** 0.0002 as `2e-4`. */
export function formatRate(rate: number): string {
  return rate >= 0.01 ? String(rate) : rate.toExponential();
}

function adapterRate(parameters: number): number {
  if (parameters < TINY) return 5e-3;
  if (parameters < LARGE) return 5e-4;
  return parameters < 30e9 ? 2e-4 : 1e-4;
}

function countEpochs({ epochs, fewestSteps, mostEpochs }: Measures, stepsPerEpoch: number, rows: number): number {
  const share = rows < 5000 ? 1 : rows < 20_000 ? 2 / 3 : 1 / 3;
  const usual = Math.max(1, Math.round(epochs * share));
  const enough = Math.min(mostEpochs, Math.ceil(fewestSteps / stepsPerEpoch));
  return Math.max(usual, enough, Math.ceil(FEWEST_STEPS / stepsPerEpoch));
}

/** A power of 2: with another limit the data are read again, so it changes seldom. */
function wholeRow(longest: number): number {
  return Math.min(2 ** Math.ceil(Math.log2(Math.max(1, longest))), LONGEST_ROW);
}

function powerOf2Below(limit: number, most: number): number {
  return Math.min(most, 2 ** Math.max(0, Math.floor(Math.log2(limit))));
}

/** Without the digits that a product of decimals leaves. */
function round(value: number): number {
  return Number(value.toPrecision(6));
}
