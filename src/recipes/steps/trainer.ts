/** The training loop between the recipe, which says what to train, and the session, which computes a step. */
import type { RunConfig } from '../../core/config';
import type { LogRow, RunSummary, TrainEvent, TrainerState } from '../../core/events';
import { GraftError, type ErrorCode } from '../../core/errors';
import type { WeightTensor } from '../../core/weights';
import { chunks } from '../../data/batches';
import type { Session, StepResult, TrainViewOptions } from '../../engine';
import type { Adapter } from '../../formats/peft';
import { schedule, type Schedule } from '../schedules';
import { wholeWeights, type Checkpoint, type Checkpoints, type StoredCheckpoint } from './checkpoint';
import { toBatch } from './batch';
import type { PreparedData } from './data';
import { Pace } from './pace';
import { checkSameRun } from './resolve';
import { epochShape, StepOrder } from './step-order';
import { epochsAt, evaluationIsDue, roundEpoch, startOfRun, trainerState, type EpochShape } from './trainer-state';

/** Failures that come in the middle of a run, after which the user wants to know what is left of it. */
const INTERRUPTIONS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'diverged',
  'device-lost',
  'storage',
  'out-of-memory',
]);

type Stop = RunSummary['stopped'];

export type TrainReport = (event: TrainEvent) => void;

/** Computes an optimiser step, counted from 0, and may watch it. */
export type Stepper = (work: () => Promise<StepResult>, step: number) => Promise<StepResult>;

/** What a run's data and base weights were, for a checkpoint to be held against. */
export type InputHashes = Pick<Checkpoint, 'datasetHash' | 'modelHash'>;

/** The loop of optimiser steps, and what it carries from one to the next. */
export class Trainer {
  private progress = startOfRun();
  /** The trained tensors at the lowest evaluation loss; kept where early stopping will want them back. */
  private best: readonly WeightTensor[] | undefined;
  private readonly order: StepOrder;
  private readonly pace = new Pace();
  private readonly shape: EpochShape;
  private readonly learningRate: Schedule;
  /** When the last checkpoint was written, or training began in this sitting, by the clock. */
  private savedAt = 0;

  constructor(
    private readonly run: RunConfig,
    private readonly data: PreparedData,
    private readonly session: Session<{ readonly train: TrainViewOptions }>,
    private readonly report: TrainReport,
    private readonly slots: Checkpoints,
    private readonly hashes: InputHashes,
    private readonly stepper: Stepper = (work) => work(),
    /** Milliseconds, from any start. */
    private readonly clock: () => number = () => performance.now(),
  ) {
    this.shape = epochShape(run, data);
    this.order = new StepOrder(run, data);
    this.learningRate = schedule(run, data.totalSteps);
  }

  async start(adapter: Adapter | undefined, resuming: boolean): Promise<void> {
    if (adapter) {
      await this.session.importParameters(adapter.tensors);
      await this.session.views.train.keepReference();
    }
    if (!resuming) return;
    this.report({ kind: 'notice', message: 'There is no checkpoint yet: starting from the first step.' });
    this.report({ kind: 'resumed', step: 0 });
  }

  /** @throws `bad-config` where the checkpoint belongs to other settings, data or weights. */
  async resume(checkpoint: StoredCheckpoint): Promise<void> {
    checkSameRun(this.run, checkpoint.run);
    const changed =
      checkpoint.datasetHash !== this.hashes.datasetHash
        ? 'dataset'
        : checkpoint.modelHash !== this.hashes.modelHash
          ? 'model'
          : undefined;
    if (changed) {
      throw new GraftError(
        'bad-config',
        `The ${changed} is not the one that the run to resume was started with: give it the same ${changed}, or start anew.`,
      );
    }
    await this.session.views.train.importState(checkpoint.state);
    this.progress = checkpoint.progress;
    this.best = checkpoint.best && (await wholeWeights(checkpoint.best));
    this.report({ kind: 'resumed', step: checkpoint.progress.step });
  }

  async train(signal?: AbortSignal): Promise<Stop> {
    const { totalSteps } = this.data;
    this.savedAt = this.clock();
    try {
      for (;;) {
        const { step } = this.progress;
        if (this.data.eval.length > 0 && evaluationIsDue(this.progress, this.run, totalSteps))
          await this.evaluate(signal);
        if (this.hasStoppedImproving()) return 'early';
        if (step >= totalSteps) return 'finished';
        if (step > this.slots.lastStep && (signal?.aborted || this.saveIsDue())) await this.save();
        if (signal?.aborted) return 'cancelled';
        await this.step();
      }
    } catch (error) {
      throw this.withCheckpoint(error);
    }
  }

  private async step(): Promise<void> {
    const began = performance.now();
    const { progress, run } = this;
    const microBatches = this.order.rowsOf(progress.step).map(toBatch);
    const learning_rate = this.learningRate(progress.step);
    const work = () => this.session.views.train.step(microBatches, progress.step, learning_rate);
    const { loss, gradNorm, metrics } = await this.stepper(work, progress.step);
    const tokens = microBatches.flatMap(({ inputIds }) => inputIds).reduce((sum, ids) => sum + ids.length, 0);
    const seconds = (performance.now() - began) / 1000;

    progress.step++;
    progress.lossSum += loss;
    progress.unlogged.lossSum += loss;
    progress.unlogged.steps++;
    if (Object.keys(metrics).length > 0) {
      progress.unlogged.metricSums = summed(progress.unlogged.metricSums, metrics);
    }
    progress.tokensSeen += tokens;
    progress.seconds += seconds;
    this.pace.add(tokens, seconds);
    if (progress.step % run.logging_steps !== 0) return;
    const { lossSum, steps, metricSums = {} } = progress.unlogged;
    progress.unlogged = { lossSum: 0, steps: 0 };
    const row: LogRow = {
      ...this.position(),
      loss: lossSum / steps,
      grad_norm: gradNorm,
      learning_rate,
      ...means(metricSums, steps),
    };
    progress.log.push(row);
    const { totalSteps } = this.data;
    const secondsLeft = this.pace.secondsFor(totalSteps - progress.step);
    this.report({ kind: 'step', row, tokensPerSecond: this.pace.tokensPerSecond, secondsLeft, totalSteps });
  }

  /** Mean loss of all trained tokens, or all pairs, of the held-out rows. Stops without a result when the signal is aborted. */
  private async evaluate(signal?: AbortSignal): Promise<void> {
    this.report({
      kind: 'phase',
      phase: 'evaluating',
      detail: `Evaluating ${this.data.eval.flat().length} held-out rows`,
    });
    const began = performance.now();
    let lossSum = 0;
    let count = 0;
    let metricSums: Record<string, number> = {};
    const batches = chunks(this.data.eval, this.run.per_device_train_batch_size);
    for (const rows of batches) {
      if (signal?.aborted) return;
      const result = await this.session.views.train.evaluate(toBatch(rows));
      lossSum += result.lossSum;
      count += result.count;
      metricSums = summed(metricSums, result.metrics);
    }
    const loss = lossSum / count;
    if (!Number.isFinite(loss)) {
      throw new GraftError(
        'diverged',
        `At step ${this.progress.step} the evaluation loss is ${loss}: lower learning_rate, or add warmup_steps.`,
      );
    }
    const seconds = Math.round(performance.now() - began) / 1000;
    // TRL logs means over batches.
    const row: LogRow = {
      ...this.position(),
      eval_loss: loss,
      ...means(metricSums, batches.length, 'eval_'),
      eval_runtime: seconds,
    };
    this.progress.log.push(row);
    this.report({ kind: 'eval', row });
    await this.compareWithBest(loss);
    this.report({ kind: 'phase', phase: 'training', detail: `Training ${this.data.totalSteps} steps` });
  }

  private async compareWithBest(loss: number): Promise<void> {
    const { progress } = this;
    if (progress.best && loss >= progress.best.loss) {
      progress.evaluationsWithoutBetter++;
      return;
    }
    progress.best = { loss, step: progress.step };
    progress.evaluationsWithoutBetter = 0;
    if (this.keepsBest) this.best = await this.session.views.train.exportParameters();
  }

  private get keepsBest(): boolean {
    return this.run.early_stopping_patience > 0;
  }

  private hasStoppedImproving(): boolean {
    const { best, evaluationsWithoutBetter, step } = this.progress;
    if (!this.keepsBest || !best || evaluationsWithoutBetter < this.run.early_stopping_patience) return false;
    this.report({ kind: 'early-stop', step, bestStep: best.step });
    return true;
  }

  /** After so many steps, or so much time: steps may be long. */
  private saveIsDue(): boolean {
    const { save_steps, save_seconds } = this.run;
    const isLate = save_seconds > 0 && this.clock() - this.savedAt >= 1000 * save_seconds;
    return isLate || this.progress.step % save_steps === 0;
  }

  private async save(): Promise<void> {
    const { progress, run, best } = this;
    const state = this.session.views.train.stateEntries();
    await this.slots.write({ run, ...this.hashes, progress, state, best });
    this.savedAt = this.clock();
    this.report({ kind: 'checkpoint', step: progress.step });
  }

  /** What the run is for: the best tensors where early stopping kept them, else the last. */
  async result(): Promise<readonly WeightTensor[]> {
    return this.best ?? this.session.views.train.exportParameters();
  }

  state(): TrainerState {
    return trainerState(this.progress, this.run, this.shape);
  }

  summary(stopped: Stop): RunSummary {
    const { step, lossSum, best, seconds } = this.progress;
    return {
      steps: step,
      epochs: roundEpoch(epochsAt(step, this.shape)),
      trainLoss: step > 0 ? lossSum / step : 0,
      bestEvalLoss: best?.loss ?? null,
      stopped,
      seconds,
    };
  }

  private position(): Pick<LogRow, 'epoch' | 'step'> {
    return { epoch: roundEpoch(epochsAt(this.progress.step, this.shape)), step: this.progress.step };
  }

  /** A failure that the user can act on, with where the run can go on from. */
  private withCheckpoint(error: unknown): unknown {
    if (!(error instanceof GraftError) || !INTERRUPTIONS.has(error.code)) return error;
    const { lastStep } = this.slots;
    const kept = lastStep > 0 ? `The checkpoint of step ${lastStep} is kept.` : 'There was no checkpoint yet.';
    return new GraftError(error.code, `${error.message} ${kept}`, { cause: error });
  }
}

/** What an objective logs, for a row of the log. */
function means(
  sums: Readonly<Record<string, number>>,
  count: number,
  prefix = '',
): Record<`${string}/${string}`, number> {
  return Object.fromEntries(Object.entries(sums).map(([name, sum]) => [prefix + name, sum / count]));
}

function summed(sums: Readonly<Record<string, number>> = {}, more: Readonly<Record<string, number>>) {
  return Object.fromEntries(Object.entries(more).map(([name, value]) => [name, (sums[name] ?? 0) + value]));
}
