/** Which rows an optimiser step takes: all of it follows from the run file and the data. */
import type { RunConfig } from '../../core/config';
import { epochRows, epochSteps, type Row } from '../../data/batches';
import { batching, type PreparedData } from './data';
import type { EpochShape } from './trainer-state';

/** The shape of a run's epochs. */
export function epochShape(run: RunConfig, data: PreparedData): EpochShape {
  return {
    stepsPerEpoch: data.stepsPerEpoch,
    totalSteps: data.totalSteps,
    microBatchesPerEpoch: Math.ceil(data.trainRows / run.per_device_train_batch_size),
    gradientAccumulationSteps: run.gradient_accumulation_steps,
  };
}

/** Keeps the epoch that was asked for last. */
export class StepOrder {
  private epoch: { index: number; steps: Row[][][] } | undefined;

  constructor(
    private readonly run: RunConfig,
    private readonly data: PreparedData,
  ) {}

  /** The rows of an optimiser step, counted from 0, as `[microBatch][row]`. */
  rowsOf(step: number): Row[][] {
    const { run, data } = this;
    const index = Math.floor(step / data.stepsPerEpoch);
    if (this.epoch?.index !== index) {
      const options = batching(run, run.max_length);
      this.epoch = { index, steps: epochSteps(epochRows(data.train, index, options), index, options) };
    }
    return this.epoch.steps[step % data.stepsPerEpoch]!;
  }
}
