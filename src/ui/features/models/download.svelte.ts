/** The weights of a model on the Hub on their way into this browser. */
import type { PlainError } from '../../../core/errors';
import type { HubRef } from '../../../protocol/hub';
import type { StorageSettings } from '../../../protocol/models';
import { Job } from '../../client/job.svelte';
import type { Transfer } from '../../client/transfer';
import type { Workers } from '../../client/workers';

export class DownloadState {
  private readonly fetching: Job<'models.fetch'>;
  /** The model that comes, and bytes of all its weights, until the first have come. */
  private coming = $state.raw<{ name: string; total: number }>();

  constructor(
    workers: Workers,
    /** Called when more is kept than before, or less. */
    private readonly onChange: () => Promise<void>,
  ) {
    this.fetching = new Job(workers, 'models.fetch');
  }

  /** The model that comes, and how far it is; undefined while nothing does. */
  get running(): { name: string; transfer: Transfer } | undefined {
    const { coming } = this;
    if (!coming || !this.fetching.isRunning) return undefined;
    const { name, total } = coming;
    return { name, transfer: this.fetching.progress ?? { loaded: 0, total, rate: undefined } };
  }

  /** Why nothing comes at the moment. */
  get pause(): string | undefined {
    return this.fetching.pause;
  }

  get error(): PlainError | undefined {
    return this.fetching.error;
  }

  /** What could not be kept, in words. */
  get notKept(): string | undefined {
    return this.fetching.isRunning ? undefined : this.fetching.notices[0];
  }

  /** @param total bytes of all weights, until the first have come */
  async start(ref: HubRef, storage: StorageSettings, total: number): Promise<void> {
    this.coming = { name: ref.name, total };
    await this.fetching.run({ ref, storage });
    await this.onChange();
  }

  cancel(): void {
    this.fetching.cancel();
  }

  /** Stops what is under way and forgets what was said of it: another model is chosen, or a run begins. */
  clear(): void {
    this.fetching.clear();
    this.coming = undefined;
  }
}
