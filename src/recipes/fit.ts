/**
 * A run made to fit a budget of GPU memory: its settings are changed one after the other, from what costs the least time
 * and accuracy on, until the plan fits, and each change says why.
 */
import { formatBytes } from '../core/bytes';
import type { RunConfig, RunConfigKey } from '../core/config';
import { GraftError } from '../core/errors';
import { planRun, type PlanOptions, type RunPlan } from './plan';
import { effectiveMaxLength, type PreparedData } from './steps/data';
import { rowsPerStep, withMicroBatch } from './steps/micro-batch';
import { trainsTables, type ShapedModel } from './steps/options';

/** A setting that was changed, as it would stand in the run file, and why in a sentence. */
export interface Choice {
  readonly key: RunConfigKey;
  readonly value: RunConfig[RunConfigKey];
  readonly why: string;
}

export interface FittedRun {
  /** A run that can be trained as it is. */
  readonly run: RunConfig;
  readonly plan: RunPlan;
  /** What differs from the run as asked for; empty where that fits. */
  readonly choices: readonly Choice[];
}

export interface FitOptions extends Pick<PlanOptions, 'fromAdapter'> {
  /** Rows may be cut to fewer tokens where nothing else helps. */
  readonly shorten?: boolean;
}

/** Fewest tokens that a chunk of an MLP, or a shortened row, has: products of fewer rows waste a GPU. */
const LEAST_CHUNK = 512;
const LEAST_LENGTH = 64;

/** A change that saves memory; undefined where the run has it already or has no use for it. */
type Measure = (run: RunConfig, model: ShapedModel, tokens: number) => Choice | undefined;

/** In order of what they cost. */
const MEASURES: readonly Measure[] = [
  (run) =>
    run.gradient_checkpointing
      ? undefined
      : {
          key: 'gradient_checkpointing',
          value: true,
          why: 'Layers are computed again in the backward pass, about a third more time, and only their inputs are kept.',
        },
  (run, { spec }, tokens) => {
    // As many tokens as make the MLP's values no larger than the hidden states of all tokens.
    const balanced = 2 ** Math.floor(Math.log2((tokens * spec.hiddenSize) / spec.intermediateSize));
    return chunks(run, tokens, Math.max(LEAST_CHUNK, balanced));
  },
  (run, { spec }) =>
    run.embedding_dtype === 'q8' || trainsTables(run, spec)
      ? undefined
      : {
          key: 'embedding_dtype',
          value: 'q8',
          why: 'Embeddings and head are kept in 8 bits, at no cost in time and next to none in accuracy.',
        },
  (run) =>
    run.checkpoint_dtype === 'bfloat16'
      ? undefined
      : {
          key: 'checkpoint_dtype',
          value: 'bfloat16',
          why: 'The inputs of layers are kept in 16 bits; training rounds them as bfloat16 training does everywhere.',
        },
  (run) => layersPerSegment(run, 2),
  (run, { spec }) => layersPerSegment(run, fewestKept(spec.numLayers)),
  (run, _, tokens) => chunks(run, tokens, LEAST_CHUNK),
];

function chunks(run: RunConfig, tokens: number, size: number): Choice | undefined {
  const current = run.mlp_chunk_size || tokens;
  if (size >= current) return undefined;
  return {
    key: 'mlp_chunk_size',
    value: size,
    why: `MLPs work on ${size} of ${tokens} tokens at a time, so that their wide values are never there for all.`,
  };
}

function layersPerSegment(run: RunConfig, layers: number): Choice | undefined {
  if (run.checkpoint_layers >= layers) return undefined;
  const share = layers === 2 ? 'half of the layers' : `${layers - 1} of ${layers} layers`;
  return {
    key: 'checkpoint_layers',
    value: layers,
    why: `Only the input of every ${layers} layers is kept, and ${share} are computed once more.`,
  };
}

/** The fewest layers n to a segment for which L/n + n, the inputs kept at once, is least. */
function fewestKept(layers: number): number {
  const kept = (n: number) => Math.ceil(layers / n) + n;
  const sizes = Array.from({ length: layers }, (_, i) => i + 1);
  return sizes.reduce((best, n) => (kept(n) < kept(best) ? n : best), 1);
}

/**
 * The run that fits with the least change, at the same rows an optimiser step: first the micro-batch gets smaller, then
 * one measure after the other is taken, and under each the micro-batch is as large as fits.
 * @throws `out-of-memory` where nothing fits, saying what the least would be.
 */
export function fitToBudget(
  run: RunConfig,
  model: ShapedModel,
  budgetBytes: number,
  data?: PreparedData,
  options: FitOptions = {},
): FittedRun {
  const fit = new Fit(run, model, budgetBytes, data, options);
  return fit.asGiven() ?? fit.withMeasures() ?? (options.shorten ? fit.shortened() : undefined) ?? fit.refuse();
}

/** A choice, the value that it replaced, and the bytes that it has saved. */
interface Taken {
  readonly choice: Choice;
  readonly before: RunConfig[RunConfigKey];
  readonly saved: number;
}

/** The search: a run under way, and the choices that led to it. */
class Fit {
  private run: RunConfig;
  private taken: Taken[] = [];
  private least = Infinity;
  private readonly plans = new Map<string, RunPlan>();

  constructor(
    private readonly asked: RunConfig,
    private readonly model: ShapedModel,
    private readonly budgetBytes: number,
    private readonly data: PreparedData | undefined,
    private readonly options: FitOptions,
  ) {
    this.run = withMicroBatch(asked, 1);
  }

  asGiven(): FittedRun | undefined {
    const plan = this.planOf(this.asked);
    return this.fits(plan) ? { run: this.asked, plan, choices: [] } : undefined;
  }

  withMeasures(): FittedRun | undefined {
    let total = this.total();
    for (const measure of [undefined, ...MEASURES]) {
      if (measure) {
        const tokens = planTokens(this.run, this.model, this.data);
        const choice = measure(this.run, this.model, tokens);
        if (!choice) continue;
        const before = total;
        const asked = this.run[choice.key];
        this.run = withChoice(this.run, choice.key, choice.value);
        total = this.total();
        this.adopt(choice, asked, before - total);
      }
      if (total > this.budgetBytes) continue;
      this.undoNeedless(total);
      return this.withLargestMicroBatch();
    }
    return undefined;
  }

  /** Everything that saves memory, and the longest rows that fit then. */
  shortened(): FittedRun | undefined {
    const { model } = this;
    const given = effectiveMaxLength(this.asked, model.spec);
    let [fits, tooLong] = [0, Math.ceil(given / LEAST_LENGTH)];
    const atLength = (units: number) => ({ ...this.run, max_length: units * LEAST_LENGTH });
    while (tooLong - fits > 1) {
      const middle = (fits + tooLong) >> 1;
      if (this.fits(this.planOf(atLength(middle)))) fits = middle;
      else tooLong = middle;
    }
    if (fits === 0) return undefined;
    this.run = atLength(fits);
    const why = `Rows are cut to ${this.run.max_length} tokens: with ${given}, nothing fits.`;
    const choice: Choice = { key: 'max_length', value: this.run.max_length, why };
    this.adopt(choice, given, 0);
    return this.withLargestMicroBatch();
  }

  refuse(): never {
    const { load_in_4bit, optim, use_peft } = this.asked;
    const left = [
      ...(use_peft && !load_in_4bit ? ['set load_in_4bit: true'] : []),
      ...(optim === 'adamw' ? ['set optim: adamw_8bit'] : []),
      'lower max_length',
      'take a smaller model',
    ];
    throw new GraftError(
      'out-of-memory',
      `Nothing fits ${formatBytes(this.budgetBytes)}: one row at a time with gradient_checkpointing and everything else ` +
        `that saves memory needs ${formatBytes(this.least)}. You can ${left.slice(0, -1).join(', ')} or ${left.at(-1)}.`,
    );
  }

  /** Adds a choice; one of the same key has made way for it. */
  private adopt(choice: Choice, before: Taken['before'], saved: number): void {
    const earlier = this.taken.find((other) => other.choice.key === choice.key);
    this.taken = this.taken.filter((other) => other !== earlier);
    this.taken.push({ choice, before: earlier?.before ?? before, saved: saved + (earlier?.saved ?? 0) });
  }

  /** Takes back what a later measure has made needless, the costliest first. */
  private undoNeedless(total: number): void {
    for (const step of this.taken.slice(0, -1).reverse()) {
      const { choice, before, saved } = step;
      if (total + saved > this.budgetBytes) continue;
      const without = withChoice(this.run, choice.key, before);
      const plan = this.planOf(without);
      if (!this.fits(plan)) continue;
      this.run = without;
      this.taken = this.taken.filter((other) => other !== step);
      total = plan.memory.totalBytes;
    }
  }

  /** What one row needs may leave room for more, up to as many as were asked for. */
  private withLargestMicroBatch(): FittedRun {
    const asked = this.asked.per_device_train_batch_size;
    const sizes = divisors(rowsPerStep(this.asked)).filter((size) => size <= asked);
    let [fits, tooLarge] = [0, sizes.length];
    let plan = this.planOf(this.run);
    while (tooLarge - fits > 1) {
      // The largest is tried first: it often fits.
      const middle = tooLarge === sizes.length ? tooLarge - 1 : (fits + tooLarge) >> 1;
      const tried = this.planOf(withMicroBatch(this.run, sizes[middle]!));
      if (this.fits(tried)) [fits, plan] = [middle, tried];
      else tooLarge = middle;
    }
    const run = withMicroBatch(this.run, sizes[fits]!);
    return { run, plan, choices: [...microBatchChoices(this.asked, run), ...this.taken.map(({ choice }) => choice)] };
  }

  private total(): number {
    return this.planOf(this.run).memory.totalBytes;
  }

  private planOf(run: RunConfig): RunPlan {
    const key = JSON.stringify(run);
    const plan = this.plans.get(key) ?? planRun(run, this.model, this.data, this.options);
    this.plans.set(key, plan);
    this.least = Math.min(this.least, plan.memory.totalBytes);
    return plan;
  }

  private fits(plan: RunPlan): boolean {
    return plan.memory.totalBytes <= this.budgetBytes;
  }
}

/** Tokens of the largest micro-batch. */
function planTokens(run: RunConfig, model: ShapedModel, data: PreparedData | undefined): number {
  const longest = data?.lengths.at(-1) ?? effectiveMaxLength(run, model.spec);
  return run.per_device_train_batch_size * longest;
}

function microBatchChoices(asked: RunConfig, run: RunConfig): Choice[] {
  const { per_device_train_batch_size: size, gradient_accumulation_steps: steps } = run;
  if (size === asked.per_device_train_batch_size) return [];
  const why = `${asked.per_device_train_batch_size} rows at once don't fit; smaller micro-batches add up to the same step.`;
  return [
    { key: 'per_device_train_batch_size', value: size, why },
    { key: 'gradient_accumulation_steps', value: steps, why: `A step keeps its ${rowsPerStep(asked)} rows.` },
  ];
}

function withChoice(run: RunConfig, key: RunConfigKey, value: RunConfig[RunConfigKey]): RunConfig {
  return { ...run, [key]: value };
}

function divisors(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i + 1).filter((d) => n % d === 0);
}
