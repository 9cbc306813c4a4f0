/** Which variant of a kernel runs on a device: what was measured on it, now or in an earlier sitting. */
import type { KernelChoiceStore } from '../../core/kernel-choices';
import type { Kernel } from '../graph/kernel';

export class KernelChoices {
  private readonly names = new Map<string, string>();
  private loaded: Promise<void> | undefined;

  /** `adapter` tells adapters, their settings and versions of Graft apart. */
  constructor(
    private readonly adapter: string,
    private readonly store?: KernelChoiceStore,
  ) {}

  /** The kernel in the variant that was chosen for its class, or as it is. */
  of(kernel: Kernel): Kernel {
    const { variants } = kernel;
    return (variants && variants.kernels.get(this.names.get(variants.shapeClass) ?? '')) ?? kernel;
  }

  /** The variant's name that was chosen for a class. */
  get(shapeClass: string): string | undefined {
    return this.names.get(shapeClass);
  }

  /** Takes in what was kept, once. A store that fails costs a measurement, not the run. */
  load(): Promise<void> {
    this.loaded ??= (async () => {
      const kept: unknown = await this.store?.read(this.adapter).catch(() => undefined);
      if (typeof kept !== 'object' || kept === null) return;
      for (const [shapeClass, name] of Object.entries(kept)) {
        if (typeof name === 'string') this.names.set(shapeClass, name);
      }
    })();
    return this.loaded;
  }

  async add(measured: ReadonlyMap<string, string>): Promise<void> {
    for (const [shapeClass, name] of measured) this.names.set(shapeClass, name);
    await this.store?.write(this.adapter, Object.fromEntries(this.names)).catch(() => undefined);
  }
}
