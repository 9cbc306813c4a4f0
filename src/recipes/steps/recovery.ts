/** What a run does when its device fails it: it opens a lost one anew, once, and asks less of one with too little memory. */
import { formatBytes } from '../../core/bytes';
import type { RunConfig } from '../../core/config';
import { GraftError } from '../../core/errors';
import type { Engine } from '../../engine';
import { rowsPerStep, withSmallerMicroBatch } from './micro-batch';
import type { TrainReport } from './trainer';

export class Recovery {
  private engine: Engine | undefined;
  private loss: GraftError | undefined;

  constructor(
    private readonly openEngine: () => Promise<Engine>,
    private readonly report: TrainReport,
  ) {}

  /** The device to train on. After a loss, an error says what was lost as well as why there is no other device. */
  async open(): Promise<Engine> {
    try {
      return (this.engine ??= await this.openEngine());
    } catch (error) {
      if (!this.loss || !(error instanceof GraftError)) throw error;
      throw new GraftError('device-lost', `${this.loss.message} It can't be opened again: ${error.message}`, {
        cause: error,
      });
    }
  }

  /**
   * The run to go on with after a failure.
   * @throws the failure where there is no going on: a second loss, memory too small for one row, anything else
   */
  async after(error: unknown, run: RunConfig): Promise<RunConfig> {
    if (!(error instanceof GraftError)) throw error;
    if (error.code === 'out-of-memory') return this.withLessMemory(error, run);
    if (error.code !== 'device-lost') throw error;
    await this.afterLoss(error);
    return run;
  }

  private async afterLoss(error: GraftError): Promise<void> {
    if (this.loss) {
      throw new GraftError('device-lost', `${error.message} This was the second loss, so training stops here.`, {
        cause: error,
      });
    }
    this.loss = error;
    const reason = await this.engine?.lost; // whoever gave the engine has heard of it then, too, and opens another
    this.engine = undefined;
    this.report({
      kind: 'notice',
      message: `The GPU device was lost (${reason}): opening it again and going on from the last checkpoint.`,
    });
  }

  private withLessMemory(error: GraftError, run: RunConfig): RunConfig {
    const smaller = withSmallerMicroBatch(run);
    if (!smaller) {
      throw new GraftError('out-of-memory', `Even one row at a time does not fit. ${error.message}`, { cause: error });
    }
    const { per_device_train_batch_size, gradient_accumulation_steps } = smaller;
    this.report({
      kind: 'notice',
      message:
        `Micro-batches of ${run.per_device_train_batch_size} rows do not fit the memory of the GPU: trying ` +
        `per_device_train_batch_size: ${per_device_train_batch_size} with gradient_accumulation_steps: ` +
        `${gradient_accumulation_steps}, which is the same batch of ${rowsPerStep(run)} rows.`,
    });
    return smaller;
  }
}

/** Throws `out-of-memory` where the device is known to have less memory than planned; it would fail in the middle. */
export function refuseTooLarge(plannedBytes: number, { info }: Engine): void {
  if (info.memoryBytes === undefined || plannedBytes <= info.memoryBytes) return;
  throw new GraftError(
    'out-of-memory',
    `This run needs ${formatBytes(plannedBytes)} and ${info.description || 'the GPU'} has ${formatBytes(info.memoryBytes)} free: ` +
      'use a shorter max_length, gradient_checkpointing, or a smaller model.',
  );
}
