/** The model that was opened last, for all who ask for it. */
import type { FileSource } from '../../src/core/store';
import { openModel, type HubModel } from '../../src/formats/model';
import type { RunLibrary } from '../../src/storage/indexeddb';
import type { ModelRef } from '../../src/protocol/models';
import { withTemplateOf } from '../../src/formats/saved-template';
import { withRunTemplate } from '../../src/recipes';
import type { HubModels } from '../hub/hub-models';
import { Latest } from './latest';
import { readRunConfig } from '../runs/run-files';
import { modelKey, type Sources } from './sources';

export class OpenModels {
  private readonly latest = new Latest<HubModel>();

  constructor(
    private readonly sources: Sources,
    private readonly hub: HubModels,
    private readonly library: RunLibrary,
  ) {
    hub.onDamaged = () => this.latest.forget();
  }

  /** A model on the Hub at one commit; any other as it is. */
  async resolve(ref: ModelRef, signal?: AbortSignal): Promise<ModelRef> {
    return ref.kind === 'hub' ? this.hub.resolve(ref, signal) : ref;
  }

  open(ref: ModelRef, onNotKept?: (message: string) => void, job?: AbortSignal): Promise<HubModel> {
    return this.latest.get(modelKey(ref), async () =>
      ref.kind === 'hub' ? this.hub.open(ref, onNotKept, job) : openModel(await this.sources.model(ref)),
    );
  }

  /** The model as a run asks it, while it trains too, or as it is where there is no run, and the run's folder. */
  async openForRun(ref: ModelRef, runId: string | null): Promise<{ model: HubModel; run: FileSource | undefined }> {
    const model = await this.open(ref);
    if (runId === null) return { model, run: undefined };
    const record = await this.library.get(runId);
    const run = this.library.folder(runId, record.name).asSource();
    const asked = await withTemplateOf(model, run);
    return { model: withRunTemplate(await readRunConfig(this.library, record), asked), run };
  }
}
