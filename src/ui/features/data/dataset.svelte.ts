/** The dataset that is chosen: a built-in one, a file, or pasted text. */
import type { DatasetRef } from '../../../protocol/data';
import type { Workers } from '../../client/workers';

export const TITLE_FEES: DatasetRef = { id: 'builtin/title-fees', name: 'title-fees', content: 'builtin' };

export class DatasetState {
  ref = $state.raw<DatasetRef>(TITLE_FEES);

  /** Set once the visitor has chosen: a restore comes too late, then. */
  private isChosen = false;

  constructor(private readonly workers: Workers) {}

  async restore(): Promise<void> {
    const ref = await this.workers.text.call((worker) => worker.data.recall());
    if (ref && !this.isChosen) this.ref = ref;
  }

  useBuiltin(): void {
    this.isChosen = true;
    if (!this.isBuiltin) this.set(TITLE_FEES);
  }

  useFile(file: File): void {
    this.set({ id: crypto.randomUUID(), name: file.name, content: file });
  }

  useText(text: string): void {
    const content = new Blob([text], { type: 'text/plain' });
    this.set({ id: crypto.randomUUID(), name: 'pasted.txt', content });
  }

  get isBuiltin(): boolean {
    return this.ref.content === 'builtin';
  }

  private set(ref: DatasetRef): void {
    this.isChosen = true;
    this.ref = ref;
    // A full disk only means that a reload begins with the built-in set.
    this.workers.text.call((worker) => worker.data.remember(ref)).catch(() => undefined);
  }
}
