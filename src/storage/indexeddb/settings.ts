/** Single values that the page wants back after a reload, each under a name. */
import * as v from 'valibot';
import { GraftError } from '../../core/errors';
import type { KernelChoiceStore } from '../../core/kernel-choices';
import { sealedChoices } from '../kernel-choices';
import { guard, type Database } from './database';

const DATASET = 'dataset';
const PASTED = 'pasted';
const KERNELS = 'kernels ';

const Dataset = v.object({
  id: v.string(),
  name: v.string(),
  content: v.union([v.literal('builtin'), v.instance(Blob)]),
});

const PastedText = v.object({ text: v.string() });

/** The dataset that the page had open: a built-in one, or a file of the user's own. */
export type RememberedDataset = v.InferOutput<typeof Dataset>;

export class SettingsStore {
  constructor(private readonly database: Database) {}

  /** Whatever was set under the name, or undefined: who asks checks it. */
  get(name: string): Promise<unknown> {
    return guard('read what was open', () => this.database.get('workspace', name));
  }

  async set(name: string, value: unknown): Promise<void> {
    await guard('remember what is open', () => this.database.put('workspace', value, name));
  }

  /** @throws `storage`, once, where what was remembered is damaged: it is forgotten. */
  async dataset(): Promise<RememberedDataset | undefined> {
    const found = await this.get(DATASET);
    if (found === undefined || found === null) return undefined;
    const read = v.safeParse(Dataset, found);
    if (read.success) return read.output;
    await this.setDataset(undefined);
    throw new GraftError(
      'storage',
      'The dataset that was open here before is damaged in this browser, and is forgotten: open it again.',
    );
  }

  async setDataset(dataset: RememberedDataset | undefined): Promise<void> {
    await this.set(DATASET, dataset);
  }

  /** What stood in the field for pasted text; what is damaged is as good as none. */
  async pastedText(): Promise<v.InferOutput<typeof PastedText> | undefined> {
    const read = v.safeParse(PastedText, await this.get(PASTED));
    return read.success ? read.output : undefined;
  }

  async setPastedText(typed: v.InferOutput<typeof PastedText>): Promise<void> {
    await this.set(PASTED, typed);
  }

  /** The choices between kernels, by adapter. */
  kernelChoices(): KernelChoiceStore {
    return sealedChoices({
      read: (adapter) => this.get(KERNELS + adapter),
      write: (adapter, value) => this.set(KERNELS + adapter, value),
    });
  }
}
