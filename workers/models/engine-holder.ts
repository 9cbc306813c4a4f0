/** The worker's GPU: opened when first needed, let go when it is lost, opened anew by the next job. */
import type { KernelChoiceStore } from '../../src/core/kernel-choices';
import { openEngine, type Engine } from '../../src/recipes';
import type { DeviceReport } from '../../src/protocol/device';

export class EngineHolder {
  private engine: Promise<Engine> | undefined;
  private afterLoss = false;
  private readonly watched = new WeakSet<Engine>();
  private readonly listeners = new Set<(reason: string) => void>();

  constructor(private readonly kernelChoices: KernelChoiceStore) {}

  /** @throws `no-webgpu` */
  async open(): Promise<Engine> {
    this.engine ??= openEngine(navigator.gpu, { afterLoss: this.afterLoss, kernelChoices: this.kernelChoices });
    try {
      const engine = await this.engine;
      this.watch(engine);
      return engine;
    } catch (error) {
      this.engine = undefined;
      throw error;
    }
  }

  async report(): Promise<DeviceReport> {
    const { vendor, architecture, description, software, maxBufferBytes, maxBindingBytes } = (await this.open()).info;
    return { vendor, architecture, description, software, maxBufferBytes, maxBindingBytes };
  }

  /** Resolves with the reason when the present device, or the one opened next, goes away. */
  lost(): Promise<string> {
    return new Promise((resolve) => this.listeners.add(resolve));
  }

  private watch(engine: Engine): void {
    if (this.watched.has(engine)) return;
    this.watched.add(engine);
    void engine.lost.then((reason) => {
      this.engine = undefined;
      this.afterLoss = true;
      const listeners = [...this.listeners];
      this.listeners.clear();
      for (const listener of listeners) listener(reason);
    });
  }
}
