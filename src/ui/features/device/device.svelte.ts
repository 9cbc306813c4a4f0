/** What the page knows of this computer: its GPU, and whether the browser promises to keep what is stored. */
import { plainError, type PlainError } from '../../../core/errors';
import type { DeviceReport } from '../../../protocol/device';
import type { Workers } from '../../client/workers';

export class DeviceState {
  report = $state.raw<DeviceReport>();
  error = $state.raw<PlainError>();
  /** Undefined until the browser was asked. */
  persisted = $state<boolean>();
  /** Bytes that this page has stored and may store, as the browser estimates them. */
  stored = $state.raw<{ used: number; quota: number }>();

  /** What the GPU is called, once it was found. */
  get name(): string | undefined {
    return this.report && (this.report.description || "This browser doesn't name the GPU");
  }

  constructor(private readonly workers: Workers) {}

  async detect(): Promise<void> {
    this.error = undefined;
    try {
      this.report = await this.workers.gpu.call((worker) => worker.device.report());
      this.watch();
    } catch (error) {
      this.report = undefined;
      this.error = plainError(error);
    }
  }

  /** Reads the browser's promise without asking for it. */
  async readPersistence(): Promise<void> {
    this.persisted = await navigator.storage?.persisted?.();
  }

  async readStorage(): Promise<void> {
    const { usage, quota } = (await navigator.storage?.estimate?.().catch(() => undefined)) ?? {};
    this.stored = usage === undefined || quota === undefined ? undefined : { used: usage, quota };
  }

  /** Asks the browser to keep what is stored; it answers by its own rules, and may ask the user. */
  async askToPersist(): Promise<void> {
    this.persisted = await navigator.storage?.persist?.();
  }

  private watch(): void {
    this.workers.gpu
      .call((worker) => worker.device.lost())
      .then(
        () => void this.detect(),
        () => undefined, // the worker ended; whoever ended it says so
      );
  }
}
