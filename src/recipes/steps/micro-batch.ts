/**
 * How the rows of an optimiser step are split into micro-batches. Loss and gradients are sums over the whole step, so
 * the split is a matter of memory: a run may go on with another one, as long as the step keeps its rows.
 */
import type { RunConfig } from '../../core/config';

/** Rows of an optimiser step: the effective batch. */
export function rowsPerStep(run: RunConfig): number {
  return run.per_device_train_batch_size * run.gradient_accumulation_steps;
}

/** The run in micro-batches of `size` rows, which divides the rows of a step, at the same effective batch. */
export function withMicroBatch(run: RunConfig, size: number): RunConfig {
  return { ...run, per_device_train_batch_size: size, gradient_accumulation_steps: rowsPerStep(run) / size };
}

/** The run with micro-batches of half the rows or less at the same effective batch; undefined below one row. */
export function withSmallerMicroBatch(run: RunConfig): RunConfig | undefined {
  const rows = rowsPerStep(run);
  let size = Math.floor(run.per_device_train_batch_size / 2);
  while (size > 0 && rows % size !== 0) size--;
  return size === 0 ? undefined : withMicroBatch(run, size);
}

/** The run in the micro-batches that it was started with, where those are smaller: larger ones may not have fitted. */
export function withMicroBatchOf(run: RunConfig, started: RunConfig): RunConfig {
  const { per_device_train_batch_size, gradient_accumulation_steps } = started;
  const isSmaller = per_device_train_batch_size < run.per_device_train_batch_size;
  if (!isSmaller || rowsPerStep(run) !== rowsPerStep(started)) return run;
  return { ...run, per_device_train_batch_size, gradient_accumulation_steps };
}
