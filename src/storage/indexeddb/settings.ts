/** Single values that the page wants back after a reload, each under a name. */
import type { KernelChoiceStore } from '../../core/kernel-choices';
import { sealedChoices } from '../kernel-choices';
import { guard, type Database } from './database';

const KERNELS = 'kernels ';

export class SettingsStore {
  constructor(private readonly database: Database) {}

  /** Whatever was set under the name, or undefined: who asks checks it. */
  get(name: string): Promise<unknown> {
    return guard('read what was open', () => this.database.get('workspace', name));
  }

  async set(name: string, value: unknown): Promise<void> {
    await guard('remember what is open', () => this.database.put('workspace', value, name));
  }

  /** The choices between kernels, by adapter. */
  kernelChoices(): KernelChoiceStore {
    return sealedChoices({
      read: (adapter) => this.get(KERNELS + adapter),
      write: (adapter, value) => this.set(KERNELS + adapter, value),
    });
  }
}
