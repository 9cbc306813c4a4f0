/** Models on the GPU: what jobs open of them, and what of it has to make room or stays while it is used. */
import { exportCheckpoint, type Engine, type ModelCache } from '../../src/recipes';
import type { HubModel } from '../../src/formats/model';
import { memorySource } from '../../src/formats/sources';
import type { FileSource } from '../../src/core/store';
import type { ModelRef } from '../../src/protocol/models';
import type { KeptModels, RunLibrary } from '../../src/storage/indexeddb';
import { Answering, type Speakers } from './answering';
import type { EngineHolder } from './engine-holder';
import type { HubModels } from '../hub/hub-models';
import type { OpenModels } from './open-models';
import type { Sources } from './sources';

export class GpuModels {
  readonly answering = new Answering();

  constructor(
    private readonly models: OpenModels,
    private readonly sources: Sources,
    private readonly hub: HubModels,
    private readonly engine: EngineHolder,
    private readonly library: RunLibrary,
    private readonly kept: KeptModels,
  ) {}

  /** Runs an action during which neither the model nor the run can be deleted, in this tab or another. */
  async use<T>(what: { model: ModelRef; runId: string | null }, action: () => Promise<T>): Promise<T> {
    const { model, runId } = what;
    const endModel = model.kind === 'kept' ? await this.kept.lease(model.id) : undefined;
    try {
      const endRun = runId === null ? undefined : await this.library.lease(runId);
      try {
        return await action();
      } finally {
        endRun?.();
      }
    } finally {
      endModel?.();
    }
  }

  /** What a conversation with the model, or with a run, is made of. */
  async speakers(ref: ModelRef, runId: string | null, onNotice?: (message: string) => void): Promise<Speakers> {
    const { model, run } = await this.models.openForRun(ref, runId);
    const learned = runId !== null && run ? await this.learnedBy(runId, run, ref) : run;
    return { engine: await this.engine.open(), model, cache: this.hub.cache(ref, onNotice), run: learned };
  }

  /** What a run has left; of one that was stopped, what its last checkpoint holds. */
  private async learnedBy(runId: string, run: FileSource, ref: ModelRef): Promise<FileSource> {
    if ((await run.list()).some((name) => name.endsWith('.safetensors'))) return run;
    const folder = this.library.folder(runId, run.name);
    const { files } = await exportCheckpoint(folder, () => this.sources.model(ref));
    return memorySource(run.name, Object.fromEntries(files.map(({ name, bytes }) => [name, bytes])));
  }

  /** A model to train or to load. A conversation's memory is freed first: both need not fit together. */
  async openAlone(
    ref: ModelRef,
    onNotKept?: (message: string) => void,
  ): Promise<{
    openEngine: () => Promise<Engine>;
    model: HubModel;
    modelFiles: FileSource;
    cache: ModelCache | undefined;
  }> {
    this.answering.release();
    return {
      openEngine: () => this.engine.open(),
      model: await this.models.open(ref),
      modelFiles: await this.sources.model(ref),
      cache: this.hub.cache(ref, onNotKept),
    };
  }
}
