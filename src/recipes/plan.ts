/** GPU memory of a run, exact and without a GPU. */
import type { RunConfig } from '../core/config';
import { hasAdapter, parametersOfAdapter, virtualTokens } from '../core/adapter';
import { parameters, type ParameterSpec } from '../core/spec';
import { elementCount } from '../core/dtypes';
import { planSession, type DecodeViewOptions, type MemoryPlan } from '../engine';
import { weightStorageKey } from './steps/cached-weights';
import { effectiveMaxLength, objectiveSources, type PreparedData } from './steps/data';
import { trainSetup, type ShapedModel } from './steps/options';

export interface RunPlan {
  readonly memory: MemoryPlan;
  /** Dispatches of a micro-batch of the longest rows, of an update, and of the evaluation of such a batch. */
  readonly dispatches: { readonly train: number; readonly update: number; readonly evaluate: number };
  /** Flops of training on a token, updates included, where every row is as long as the longest. */
  readonly flopsPerToken: number;
  readonly trainableParameters: number;
  readonly totalParameters: number;
  /** Padded lengths of the batches, in tokens. */
  readonly lengths: readonly number[];
  /** Optimiser steps of the whole run; undefined without data, unless the run says max_steps. */
  readonly totalSteps: number | undefined;
  /** How base weights are stored, as a key of the weight cache. */
  readonly storage: string;
}

/** What a plan depends on beside the run, the model and the data. */
export interface PlanOptions {
  /** The run goes on from an adapter. */
  readonly fromAdapter?: boolean;
  /** A chat beside the run. */
  readonly decode?: DecodeViewOptions | undefined;
}

/**
 * Plans a run. Without data every batch has max_length tokens.
 * @throws `bad-config` and `unsupported` for what the run asks of the model.
 */
export function planRun(
  run: RunConfig,
  model: ShapedModel,
  data?: PreparedData,
  { fromAdapter = false, decode }: PlanOptions = {},
): RunPlan {
  const longest = effectiveMaxLength(run, model.spec);
  const lengths = [...new Set((data?.lengths ?? [longest]).map((length) => Math.min(length, longest)))];
  const { setup, train } = trainSetup(run, model, lengths, { ...(data && objectiveSources(data)), fromAdapter });
  const base = countElements(parameters(model.spec));
  const adapter = hasAdapter(setup) ? countElements(parametersOfAdapter(model.spec, setup)) : undefined;
  const { memory, dispatches, flops } = planSession(setup, { train, ...(decode && { decode }) });
  const tokens = lengths.at(-1)!;
  const longestRows = tokens + virtualTokens(setup);
  return {
    memory,
    dispatches: {
      train: dispatches.get(`train:${longestRows}`)!,
      // What passes read of trained tensors is derived after each update.
      update: dispatches.get('update')! + (dispatches.get('derive') ?? 0),
      evaluate: dispatches.get(`eval:${longestRows}`)!,
    },
    flopsPerToken: flopsPerToken(run, flops, { program: `train:${longestRows}`, tokens }),
    trainableParameters: adapter ?? base,
    totalParameters: base + (adapter ?? 0),
    lengths,
    totalSteps: data?.totalSteps ?? (run.max_steps > 0 ? run.max_steps : undefined),
    storage: weightStorageKey(setup),
  };
}

/** Dispatches of one token of one sequence on a cache of `length` tokens, without the adapter and with it. */
export function countDecodeDispatches(
  run: RunConfig,
  model: ShapedModel,
  length: number,
): { readonly base: number; readonly tuned: number } {
  const { setup } = trainSetup(run, model, [Math.min(length, model.spec.maxPositions)]);
  const { dispatches } = planSession(setup, { decode: { batchSize: 1, maxLength: length } });
  const base = dispatches.get('decode:base')!;
  return { base, tuned: dispatches.get('decode:tuned') ?? base };
}

/** By tokens of the data; virtual ones are computed with them. */
function flopsPerToken(
  run: RunConfig,
  flops: ReadonlyMap<string, number>,
  { program, tokens }: { readonly program: string; readonly tokens: number },
): number {
  const update = flops.get('update')! + (flops.get('derive') ?? 0);
  const micro = flops.get(program)! + update / run.gradient_accumulation_steps;
  return micro / (run.per_device_train_batch_size * tokens);
}

function countElements(list: readonly ParameterSpec[]): number {
  return list.reduce((sum, { shape }) => sum + elementCount(shape), 0);
}
