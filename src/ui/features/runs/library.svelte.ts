/** Past runs and kept models, and the run that Chat and Export use. */
import { plainError, type PlainError } from '../../../core/errors';
import type { KeptModel, RunDetail, RunRecord } from '../../../core/library';
import type { HubRef } from '../../../protocol/hub';
import type { KeptWeights } from '../../../protocol/models';
import { downloadAsZip, fileName } from '../../client/files';
import type { Workers } from '../../client/workers';
import { isText, loadSetting, saveSetting } from '../../persisted';

const SETTING = 'run-open';

export class LibraryState {
  runs = $state.raw<readonly RunRecord[]>([]);
  models = $state.raw<readonly KeptModel[]>([]);
  /** Of models on the Hub, most recently used first. */
  weights = $state.raw<readonly KeptWeights[]>([]);
  /** The run that is open, with its log and files. */
  opened = $state.raw<RunDetail>();
  error = $state.raw<PlainError>();
  loaded = $state(false);

  constructor(private readonly workers: Workers) {}

  /** Opens the run that was open before the reload, or the newest. */
  async restore(): Promise<void> {
    await this.refresh();
    const last = loadSetting<string | null>(SETTING, null, isText);
    const run = this.runs.find(({ id }) => id === last) ?? this.runs[0];
    if (run) await this.open(run.id);
  }

  refresh(): Promise<void> {
    return this.attempt(async () => {
      this.runs = await this.workers.gpu.call((worker) => worker.runs.list());
      this.models = await this.workers.gpu.call((worker) => worker.models.list());
      this.weights = await this.workers.gpu.call((worker) => worker.models.listWeights());
      this.loaded = true;
    });
  }

  open(id: string): Promise<void> {
    return this.attempt(async () => {
      this.opened = await this.workers.gpu.call((worker) => worker.runs.read(id));
      this.remember(id);
    });
  }

  /** The run that a reload opens: also the one that trains, before there is anything of it to open. */
  remember(id: string): void {
    saveSetting(SETTING, id);
  }

  rename(id: string, name: string): Promise<void> {
    return this.attempt(async () => {
      await this.workers.gpu.call((worker) => worker.runs.rename(id, name));
      await this.refresh();
      if (this.opened?.record.id === id) await this.open(id);
    });
  }

  delete(id: string): Promise<void> {
    return this.attempt(async () => {
      await this.workers.gpu.call((worker) => worker.runs.delete(id));
      if (this.opened?.record.id === id) this.opened = undefined;
      await this.refresh();
    });
  }

  /** Downloads what an unfinished run had learned by its last checkpoint. */
  downloadCheckpoint({ id, name, checkpointStep }: RunRecord): Promise<void> {
    return this.attempt(async () => {
      const files = await this.workers.gpu.call((worker) => worker.exports.checkpoint(id));
      await downloadAsZip(files, fileName(`${name}-step-${checkpointStep}`));
    });
  }

  deleteModel(id: string): Promise<void> {
    return this.attempt(async () => {
      await this.workers.gpu.call((worker) => worker.models.delete(id));
      await this.refresh();
    });
  }

  pinWeights(id: string, pinned: boolean): Promise<void> {
    return this.attempt(async () => {
      await this.workers.gpu.call((worker) => worker.models.pinWeights(id, pinned));
      await this.refresh();
    });
  }

  deleteWeights(id: string): Promise<void> {
    return this.attempt(async () => {
      await this.workers.gpu.call((worker) => worker.models.deleteWeights(id));
      await this.refresh();
    });
  }

  /** What is kept of a model as a run stores it. */
  weightsOf(model: HubRef, storage: string): KeptWeights | undefined {
    return this.weights.find((kept) => {
      const { name, commit, endpoint } = kept.model;
      const isModel = name === model.name && commit === model.commit && endpoint === model.endpoint;
      return isModel && kept.storage === storage;
    });
  }

  /** The open run where it has an adapter or a model to use. */
  get usable(): RunDetail | undefined {
    return this.opened?.files.some(({ name }) => name.endsWith('.safetensors')) ? this.opened : undefined;
  }

  private async attempt(action: () => Promise<void>): Promise<void> {
    this.error = undefined;
    try {
      await action();
    } catch (error) {
      this.error = plainError(error);
    }
  }
}
