/** What the page knows of this computer: its GPU, and whether the browser promises to keep what is stored. */
import type { PlainError } from '../../core/events';
import type { DeviceReport } from '../../protocol';
import { toPlainError } from '../client/errors';
import type { WorkerClient } from '../client/worker-client';

export class DeviceState {
  report = $state.raw<DeviceReport>();
  error = $state.raw<PlainError>();
  /** Undefined until the browser was asked. */
  persisted = $state<boolean>();

  constructor(private readonly client: WorkerClient) {}

  async detect(): Promise<void> {
    this.error = undefined;
    try {
      this.report = await this.client.call((worker) => worker.device());
      this.watch();
    } catch (error) {
      this.report = undefined;
      this.error = toPlainError(error);
    }
  }

  /** Reads the browser's promise without asking for it. */
  async readPersistence(): Promise<void> {
    this.persisted = await navigator.storage?.persisted?.();
  }

  /** Asks the browser to keep what is stored; it answers by its own rules, and may ask the user. */
  async askToPersist(): Promise<void> {
    this.persisted = await navigator.storage?.persist?.();
  }

  private watch(): void {
    this.client
      .call((worker) => worker.deviceLost())
      .then(
        () => void this.detect(),
        () => undefined, // the worker ended; whoever ended it says so
      );
  }
}
