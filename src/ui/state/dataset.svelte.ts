/** The dataset that is chosen: a built-in one, a file, or pasted text. */
import type { DatasetRef } from '../../protocol';
import type { WorkerClient } from '../client/worker-client';

export const TITLE_FEES: DatasetRef = { id: 'builtin/title-fees', name: 'title-fees', content: 'builtin' };

export class DatasetState {
  ref = $state.raw<DatasetRef>(TITLE_FEES);

  constructor(private readonly client: WorkerClient) {}

  async restore(): Promise<void> {
    const ref = await this.client.call((worker) => worker.recallDataset());
    if (ref) this.ref = ref;
  }

  useBuiltin(): void {
    if (!this.isBuiltin) this.set(TITLE_FEES);
  }

  useFile(file: File): void {
    this.set({ id: crypto.randomUUID(), name: file.name, content: file });
  }

  useText(text: string): void {
    const content = new Blob([text], { type: 'application/json' });
    this.set({ id: crypto.randomUUID(), name: 'pasted.jsonl', content });
  }

  get isBuiltin(): boolean {
    return this.ref.content === 'builtin';
  }

  private set(ref: DatasetRef): void {
    this.ref = ref;
    // A full disk only means that a reload begins with the built-in set.
    this.client.call((worker) => worker.rememberDataset(ref)).catch(() => undefined);
  }
}
