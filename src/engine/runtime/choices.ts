/** Which variant of a kernel runs on a device: what was measured on it, now or in an earlier sitting. */
import type { KernelChoice, KernelChoiceStore } from '../../core/kernel-choices';
import type { Kernel } from '../graph/kernel';

export class KernelChoices {
  private readonly choices = new Map<string, KernelChoice>();
  private loaded: Promise<void> | undefined;

  /** `adapter` tells adapters, their settings and versions of Graft apart. */
  constructor(
    private readonly adapter: string,
    private readonly store?: KernelChoiceStore,
  ) {}

  /** The kernel in the variant that was chosen for its class, or as it is. */
  of(kernel: Kernel): Kernel {
    const { variants } = kernel;
    return (variants && variants.kernels.get(this.get(variants.shapeClass) ?? '')) ?? kernel;
  }

  /** The variant's name that was chosen for a class. */
  get(shapeClass: string): string | undefined {
    return this.choices.get(shapeClass)?.name;
  }

  /** All that was chosen, by class, with what it was chosen by. */
  all(): ReadonlyMap<string, KernelChoice> {
    return this.choices;
  }

  /** Variants that wrote other bits than the chosen one on this device, as "class: name, name". */
  differing(): string[] {
    return [...this.choices].flatMap(([shapeClass, { differing = [] }]) =>
      differing.length > 0 ? [`${shapeClass}: ${differing.join(', ')}`] : [],
    );
  }

  /** Takes in what was kept, once. A store that fails costs a measurement, not the run. */
  load(): Promise<void> {
    this.loaded ??= (async () => {
      const kept: unknown = await this.store?.read(this.adapter).catch(() => undefined);
      if (typeof kept !== 'object' || kept === null) return;
      for (const [shapeClass, choice] of Object.entries(kept)) {
        if (isChoice(choice)) this.choices.set(shapeClass, choice);
      }
    })();
    return this.loaded;
  }

  async add(measured: ReadonlyMap<string, KernelChoice>): Promise<void> {
    for (const [shapeClass, choice] of measured) this.choices.set(shapeClass, choice);
    await this.store?.write(this.adapter, Object.fromEntries(this.choices)).catch(() => undefined);
  }
}

/** Earlier versions kept a name alone, of kernels whose bits nobody had compared: those are measured again. */
function isChoice(kept: unknown): kept is KernelChoice {
  return typeof kept === 'object' && kept !== null && 'name' in kept && typeof kept.name === 'string';
}
