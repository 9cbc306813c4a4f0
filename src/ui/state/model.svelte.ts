/** The model that is open. */
import { proxy } from 'comlink';
import type { PlainError } from '../../core/events';
import type { StoredModel } from '../../core/library';
import type { HubRef, ModelRef, ModelReport } from '../../protocol';
import { isCancelled, toPlainError } from '../client/errors';
import type { ChosenFolder } from '../client/files';
import type { WorkerClient } from '../client/worker-client';
import { loadSetting, saveSetting } from './persisted';

export const STARTER: ModelRef = { kind: 'builtin', name: 'starter' };

const SETTING = 'model';

export class ModelState {
  report = $state.raw<ModelReport>();
  error = $state.raw<PlainError>();
  /** What is being opened, and how far its copying is. */
  opening = $state.raw<{ name: string; loaded: number; total: number }>();
  /** Keep a copy of folders in this browser. */
  keep = $state(true);

  private asked = $state.raw<ModelRef>(STARTER);
  private controller: AbortController | undefined;

  constructor(private readonly client: WorkerClient) {}

  /** Opens what was open before the reload; a folder that was not kept is gone, and the starter comes instead. */
  async restore(): Promise<void> {
    if (this.controller) return; // the visitor was quicker, and has chosen another
    const opened = this.open(loadSetting(SETTING, STARTER, isReopenable));
    const { controller } = this;
    await opened;
    if (this.controller === controller && this.error?.code === 'not-found') await this.open(STARTER);
  }

  openFolder(folder: ChosenFolder): Promise<void> {
    return this.open({ kind: 'files', id: crypto.randomUUID(), ...folder, keep: this.keep });
  }

  /** Opens a model and leaves the one before in place where that fails. */
  async open(ref: ModelRef): Promise<void> {
    this.cancel();
    const controller = new AbortController();
    this.controller = controller;
    this.asked = ref;
    this.error = undefined;
    this.opening = { name: ref.name, loaded: 0, total: 0 };
    const progress = (loaded: number, total: number) => {
      if (this.controller === controller) this.opening = { name: ref.name, loaded, total };
    };
    try {
      const report = await this.client.job(controller.signal, (worker, job) =>
        worker.openModel(job, ref, proxy(progress)),
      );
      if (this.controller !== controller) return;
      this.report = report;
      if (report.ref.kind !== 'files') saveSetting(SETTING, report.ref);
    } catch (error) {
      if (this.controller === controller && !isCancelled(error)) this.error = toPlainError(error);
    } finally {
      if (this.controller === controller) this.opening = undefined;
    }
  }

  /** The model on the Hub that was asked for last, whether it opened or not. */
  get asksHub(): HubRef | undefined {
    return this.asked.kind === 'hub' ? this.asked : undefined;
  }

  cancel(): void {
    this.controller?.abort();
  }

  get isStarter(): boolean {
    return this.report?.ref.kind === 'builtin' && this.report.ref.name === STARTER.name;
  }

  /** The model on the Hub that is open. */
  get onHub(): HubRef | undefined {
    const ref = this.report?.ref;
    return ref?.kind === 'hub' ? ref : undefined;
  }

  /** How to ask for a past run's model; null where only the user can open its folder. */
  refOf(stored: StoredModel): ModelRef | null {
    if (stored.kind !== 'folder') return stored;
    const open = this.report?.ref;
    return open?.kind === 'files' && open.name === stored.name ? open : null;
  }
}

function isReopenable(value: unknown): value is ModelRef {
  const ref = value as Partial<Record<string, unknown>> | null;
  return (
    (ref?.['kind'] === 'builtin' ||
      (ref?.['kind'] === 'kept' && typeof ref['id'] === 'string') ||
      (ref?.['kind'] === 'hub' &&
        typeof ref['revision'] === 'string' &&
        typeof ref['commit'] === 'string' &&
        ['string', 'undefined'].includes(typeof ref['endpoint']))) &&
    typeof ref['name'] === 'string'
  );
}
