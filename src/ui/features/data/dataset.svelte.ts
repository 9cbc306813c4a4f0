/** The dataset that is chosen: a built-in one, a file, or pasted text. */
import type { DatasetRef } from '../../../protocol/data';
import type { Workers } from '../../client/workers';

export const TITLE_FEES: DatasetRef = { id: 'builtin/title-fees', name: 'title-fees', content: 'builtin' };

export class DatasetState {
  ref = $state.raw<DatasetRef>(TITLE_FEES);
  /** The field for text is open, and what is in it: it stays while something else is looked at. */
  pasting = $state(false);
  pasted = $state('');

  /** Set once the visitor has chosen: a restore comes too late, then. */
  private isChosen = false;

  constructor(private readonly workers: Workers) {}

  async restore(): Promise<void> {
    const ref = await this.workers.text.call((worker) => worker.data.recall());
    if (ref && !this.isChosen) this.ref = ref;
  }

  useBuiltin(): void {
    this.isChosen = true;
    this.pasting = false;
    if (!this.isBuiltin) this.set(TITLE_FEES);
  }

  useFile(file: File): void {
    this.set({ id: crypto.randomUUID(), name: file.name, content: file });
  }

  usePasted(): void {
    const content = new Blob([this.pasted], { type: 'text/plain' });
    this.set({ id: crypto.randomUUID(), name: 'pasted.txt', content });
  }

  /** Text stands in the field, and was not used: nobody means the data from before, then. */
  get hasUnusedText(): boolean {
    return this.pasting && this.pasted.trim() !== '';
  }

  get isBuiltin(): boolean {
    return this.ref.content === 'builtin';
  }

  private set(ref: DatasetRef): void {
    this.isChosen = true;
    this.pasting = false;
    this.ref = ref;
    // A full disk only means that a reload begins with the built-in set.
    this.workers.text.call((worker) => worker.data.remember(ref)).catch(() => undefined);
  }
}
