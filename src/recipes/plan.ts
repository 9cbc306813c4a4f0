/** GPU memory of a run, exact and without a GPU; and the batch that fits a budget. */
import type { RunConfig } from '../core/config';
import { GraftError } from '../core/errors';
import { adapterParameters, parameters, type ParameterSpec } from '../core/spec';
import { elementCount } from '../core/dtypes';
import { planTraining, type MemoryPlan } from '../engine';
import { formatBytes } from './steps/bytes';
import { effectiveMaxLength, type PreparedData } from './steps/data';
import { trainOptions, type ShapedModel } from './steps/options';

export { formatBytes, parseBytes } from './steps/bytes';

export interface RunPlan {
  readonly memory: MemoryPlan;
  readonly trainableParameters: number;
  readonly totalParameters: number;
  /** Padded lengths of the batches, in tokens. */
  readonly lengths: readonly number[];
  /** Optimiser steps of the whole run; undefined without data, unless the run says max_steps. */
  readonly totalSteps: number | undefined;
}

/**
 * Plans a run. Without data every batch has max_length tokens.
 * @throws `bad-config` and `unsupported` for what the run asks of the model.
 */
export function planRun(run: RunConfig, model: ShapedModel, data?: PreparedData): RunPlan {
  const lengths = data?.lengths ?? [effectiveMaxLength(run, model.spec)];
  const options = trainOptions(run, model, lengths);
  const base = countElements(parameters(model.spec));
  const adapter = options.lora && countElements(adapterParameters(model.spec, options.lora));
  return {
    memory: planTraining(options),
    trainableParameters: adapter ?? base,
    totalParameters: base + (adapter ?? 0),
    lengths,
    totalSteps: data?.totalSteps ?? (run.max_steps > 0 ? run.max_steps : undefined),
  };
}

/**
 * The run with the largest micro-batch that fits, at the same rows an optimiser step; activation checkpointing is
 * switched on only where nothing fits without it.
 * @throws `out-of-memory` where nothing fits, saying what the least would be.
 */
export function fitToBudget(
  run: RunConfig,
  model: ShapedModel,
  budgetBytes: number,
  data?: PreparedData,
): { run: RunConfig; plan: RunPlan } {
  const rows = run.per_device_train_batch_size * run.gradient_accumulation_steps;
  const largestFirst = divisors(rows)
    .filter((size) => size <= run.per_device_train_batch_size)
    .reverse();
  let least = Infinity;
  for (const gradient_checkpointing of run.gradient_checkpointing ? [true] : [false, true]) {
    for (const per_device_train_batch_size of largestFirst) {
      const gradient_accumulation_steps = rows / per_device_train_batch_size;
      const tried = { ...run, gradient_checkpointing, per_device_train_batch_size, gradient_accumulation_steps };
      const plan = planRun(tried, model, data);
      if (plan.memory.totalBytes <= budgetBytes) return { run: tried, plan };
      least = Math.min(least, plan.memory.totalBytes);
    }
  }
  throw new GraftError(
    'out-of-memory',
    `Nothing fits ${formatBytes(budgetBytes)}: one row at a time with gradient_checkpointing needs ${formatBytes(least)}. ` +
      'Lower max_length, or take a smaller model.',
  );
}

function divisors(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i + 1).filter((d) => n % d === 0);
}

function countElements(list: readonly ParameterSpec[]): number {
  return list.reduce((sum, { shape }) => sum + elementCount(shape), 0);
}
