/** The weights of a model on the Hub on their way into this browser. */
import { proxy } from 'comlink';
import type { PlainError } from '../../core/events';
import type { HubRef, StorageSettings } from '../../protocol';
import { isCancelled, toPlainError } from '../client/errors';
import type { WorkerClient } from '../client/worker-client';
import { TransferRate, type Transfer } from './transfer';

export class DownloadState {
  /** The model that comes, and how far it is; undefined while nothing does. */
  running = $state.raw<{ name: string; transfer: Transfer }>();
  error = $state.raw<PlainError>();
  /** What could not be kept, in words. */
  notKept = $state.raw<string>();

  private controller: AbortController | undefined;

  constructor(
    private readonly client: WorkerClient,
    /** Called when more is kept than before, or less. */
    private readonly onChange: () => Promise<void>,
  ) {}

  /** @param total bytes of all weights, until the first have come */
  async start(ref: HubRef, storage: StorageSettings, total: number): Promise<void> {
    this.clear();
    const controller = new AbortController();
    const rate = new TransferRate();
    this.controller = controller;
    const take = (transfer: Transfer) => {
      if (this.controller === controller) this.running = { name: ref.name, transfer };
    };
    take({ loaded: 0, total, rate: undefined });
    const progress = (loaded: number, all: number) => take(rate.note(loaded, all));
    try {
      const notKept = await this.client.job(controller.signal, (worker, job) =>
        worker.download(job, ref, storage, proxy(progress)),
      );
      if (this.controller === controller) this.notKept = notKept ?? undefined;
    } catch (error) {
      if (this.controller === controller && !isCancelled(error)) this.error = toPlainError(error);
    } finally {
      if (this.controller === controller) this.running = undefined;
      await this.onChange();
    }
  }

  cancel(): void {
    this.controller?.abort();
  }

  /** Stops what is under way and forgets what was said of it: another model is chosen, or a run begins. */
  clear(): void {
    this.cancel();
    this.controller = undefined;
    this.running = undefined;
    this.error = undefined;
    this.notKept = undefined;
  }
}
