/** Where a run stands between two optimiser steps: plain data that a checkpoint keeps, and its face as a Transformers log. */
import type { RunConfig } from '../../core/config';
import { evaluationSteps } from '../../core/evaluation-steps';
import type { LogRow, TrainerState } from '../../core/events';

export interface Progress {
  /** Optimiser steps done. The data order follows from it and the seed. */
  step: number;
  log: LogRow[];
  /** Sum of the losses of all steps. */
  lossSum: number;
  /** Losses that no row of the log has yet. */
  unlogged: { lossSum: number; steps: number; metricSums?: Record<string, number> | undefined };
  /** Tokens of all rows so far, padding excluded. */
  tokensSeen: number;
  /** Seconds of training so far, over all sittings. */
  seconds: number;
  /** The lowest evaluation loss. */
  best: { loss: number; step: number } | null;
  /** Evaluations since without a lower one. */
  evaluationsWithoutBetter: number;
}

export function startOfRun(): Progress {
  return {
    step: 0,
    log: [],
    lossSum: 0,
    unlogged: { lossSum: 0, steps: 0 },
    tokensSeen: 0,
    seconds: 0,
    best: null,
    evaluationsWithoutBetter: 0,
  };
}

/** Shape of a run's data, in optimiser steps and micro-batches. */
export interface EpochShape {
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
  readonly microBatchesPerEpoch: number;
  readonly gradientAccumulationSteps: number;
}

/** Epochs done after `step` optimiser steps: whole ones, and the part of the micro-batches of the one under way. */
export function epochsAt(step: number, shape: EpochShape): number {
  const whole = Math.floor(step / shape.stepsPerEpoch);
  const inEpoch = step % shape.stepsPerEpoch;
  return whole + (inEpoch * shape.gradientAccumulationSteps) / shape.microBatchesPerEpoch;
}

/** Epochs as the log shows them. */
export function roundEpoch(epoch: number): number {
  return Math.round(epoch * 1e4) / 1e4;
}

/** Whether the held-out rows are to be evaluated after the steps done: every so many steps and at the end. */
export function evaluationIsDue(progress: Progress, run: RunConfig, totalSteps: number): boolean {
  const { step, log } = progress;
  if (step === 0 || (step % evaluationSteps(run, totalSteps) !== 0 && step !== totalSteps)) return false;
  return !log.some((row) => row.step === step && row.eval_loss !== undefined);
}

/** `trainer_state.json` as Transformers' Trainer writes it. */
export function trainerState(progress: Progress, run: RunConfig, shape: EpochShape): TrainerState {
  return {
    best_metric: progress.best?.loss ?? null,
    best_model_checkpoint: null,
    epoch: epochsAt(progress.step, shape),
    eval_steps: evaluationSteps(run, shape.totalSteps),
    global_step: progress.step,
    is_hyper_param_search: false,
    is_local_process_zero: true,
    is_world_process_zero: true,
    log_history: progress.log,
    logging_steps: run.logging_steps,
    max_steps: shape.totalSteps,
    num_input_tokens_seen: progress.tokensSeen,
    num_train_epochs: Math.ceil(shape.totalSteps / shape.stepsPerEpoch),
    save_steps: run.save_steps,
    train_batch_size: run.per_device_train_batch_size,
  };
}
