/** The runs and the models that this browser keeps. */
import { parseRunConfig, type RunConfig } from '../../../core/config';
import { plainError, type PlainError } from '../../../core/errors';
import type { KeptModel, RunRecord } from '../../../core/library';
import type { HubRef } from '../../../protocol/hub';
import type { KeptWeights } from '../../../protocol/models';
import { checkpointName, downloadAsZip } from '../../client/files';
import type { Workers } from '../../client/workers';
import { loadSetting, saveSetting } from '../../persisted';

/** What is kept with a run, beside its record. */
export interface RunFacts {
  readonly config: RunConfig;
  /** Of the last step that was logged: what "loss" means of a run, wherever the page says it. */
  readonly loss: number | undefined;
}

const SETTING = 'has-runs';
const isFlag = (value: unknown): value is boolean => typeof value === 'boolean';

export class LibraryState {
  runs = $state.raw<readonly RunRecord[]>([]);
  models = $state.raw<readonly KeptModel[]>([]);
  /** Of models on the Hub, most recently used first. */
  weights = $state.raw<readonly KeptWeights[]>([]);
  /** Of the runs that were asked for, by their ids. */
  facts = $state.raw<Readonly<Record<string, RunFacts>>>({});
  error = $state.raw<PlainError>();
  loaded = $state(false);

  /** How far each run had come when its facts were read. */
  private readonly readAt: Record<string, string> = {};
  /** Whether there was a run when the page was last open. */
  private readonly hadRuns = loadSetting(SETTING, false, isFlag);

  constructor(private readonly workers: Workers) {}

  /** Whether there is a run; as it was at the last visit, until the library has been read. */
  get hasRuns(): boolean {
    return this.loaded ? this.runs.length > 0 : this.hadRuns;
  }

  refresh(): Promise<void> {
    return this.attempt(async () => {
      const { gpu } = this.workers;
      [this.runs, this.models, this.weights] = await Promise.all([
        gpu.call((worker) => worker.runs.list()),
        gpu.call((worker) => worker.models.list()),
        gpu.call((worker) => worker.models.listWeights()),
      ]);
      this.loaded = true;
      saveSetting(SETTING, this.runs.length > 0);
    });
  }

  /** The run that was begun before this one. */
  before(id: string | undefined): RunRecord | undefined {
    const at = this.runs.findIndex((run) => run.id === id);
    return at === -1 ? undefined : this.runs[at + 1];
  }

  /** Reads what is kept with these runs, anew where one has come further; one that is damaged has nothing. */
  async readFacts(runs: readonly RunRecord[]): Promise<void> {
    for (const { id, state, step } of runs) {
      const at = `${state} ${step}`;
      if (state === 'running' || this.readAt[id] === at) continue;
      this.readAt[id] = at;
      const found = await this.workers.gpu.call((worker) => worker.runs.read(id)).catch(() => undefined);
      if (!found) continue;
      const config = parseRunConfig(found.runFile, {}, 'run.yaml');
      const loss = found.log.findLast(({ loss }) => loss !== undefined)?.loss;
      this.facts = { ...this.facts, [id]: { config, loss } };
    }
  }

  rename(id: string, name: string): Promise<void> {
    return this.attempt(async () => {
      await this.workers.gpu.call((worker) => worker.runs.rename(id, name));
      await this.refresh();
    });
  }

  delete(id: string): Promise<void> {
    return this.attempt(async () => {
      await this.workers.gpu.call((worker) => worker.runs.delete(id));
      await this.refresh();
    });
  }

  /** Downloads what an unfinished run had learned by its last checkpoint. */
  downloadCheckpoint({ id, name, checkpointStep }: RunRecord): Promise<void> {
    return this.attempt(async () => {
      const files = await this.workers.gpu.call((worker) => worker.exports.checkpoint(id));
      await downloadAsZip(files, checkpointName({ name, checkpointStep }));
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

  private async attempt(action: () => Promise<void>): Promise<void> {
    this.error = undefined;
    try {
      await action();
    } catch (error) {
      this.error = plainError(error);
    }
  }
}
