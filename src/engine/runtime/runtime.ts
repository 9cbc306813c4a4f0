/** A device with what all programs on it share: its pipelines, the choice among kernels, the pace of submits. */
import type { KernelCapabilities, Rates } from '../graph/kernel';
import type { DeviceOptions } from '../types';
import { KernelChoices } from './choices';
import { Device } from './device';
import type { Dispatch, DispatchTimer } from './dispatch';
import { SubmitPacer } from './pacer';
import { PipelineCache } from './pipelines';

export class Runtime {
  readonly pipelines: PipelineCache;
  /** Dispatches run through it while it is set. */
  timer: DispatchTimer | undefined;
  /** Once they were measured: see `session/plan-for-device.ts`. */
  rates: Rates | undefined;
  private measuring: Promise<void> | undefined;

  constructor(
    readonly device: Device,
    readonly choices: KernelChoices,
    readonly pacer = new SubmitPacer(),
  ) {
    this.pipelines = new PipelineCache(device);
  }

  /** Opens a device of the given WebGPU implementation. Throws `no-webgpu` where it offers none. */
  static async open(gpu: GPU | undefined, options: DeviceOptions = {}): Promise<Runtime> {
    const device = await Device.open(gpu, options);
    return new Runtime(device, new KernelChoices(device.identity, options.kernelChoices));
  }

  get capabilities(): KernelCapabilities {
    return { ...this.device.capabilities, ...(this.rates && { rates: this.rates }) };
  }

  /** Takes the rates that `measure` finds. Whoever asks meanwhile waits for those: two at once would halve each other's. */
  learnRates(measure: () => Promise<Rates>): Promise<void> {
    const learn = async () => {
      try {
        this.rates = await measure();
      } finally {
        this.measuring = undefined;
      }
    };
    return (this.measuring ??= learn());
  }

  /**
   * Replays dispatches over as many submits as the budget of time asks for, so that no driver watchdog fires. `finish`
   * may add copies to the last submit. Resolves when that is submitted.
   */
  async run(
    dispatches: readonly Dispatch[],
    finish?: (encoder: GPUCommandEncoder) => void,
    timer = this.timer,
  ): Promise<void> {
    const { device, pacer } = this;
    device.assertAlive();
    if (timer) return timer.run(dispatches, pacer, finish);
    let next = 0;
    do {
      const encoder = device.gpu.createCommandEncoder();
      const pass = encoder.beginComputePass();
      const batch = dispatches.slice(next, pacer.endOfSubmit(dispatches, next));
      for (const dispatch of batch) dispatch.encode(pass);
      next += batch.length;
      pass.end();
      const last = next === dispatches.length;
      if (last) finish?.(encoder);
      const started = performance.now();
      device.gpu.queue.submit([encoder.finish()]);
      if (!last) {
        // One submit at a time in flight, so that the measured time is this submit's own.
        await device.wait(device.gpu.queue.onSubmittedWorkDone());
        pacer.observe(batch, performance.now() - started);
      }
    } while (next < dispatches.length);
  }
}
