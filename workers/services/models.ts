/** What this browser keeps of models: copies of the user's own, and weights of the Hub's. */
import { openGenerator } from '../../src/recipes';
import type { KeptModels } from '../../src/storage/indexeddb';
import type { ModelJobs, ModelsService } from '../../src/protocol/models';
import type { GpuModels } from '../models/gpu-models';
import type { HubModels } from '../hub/hub-models';
import type { JobHandlers } from '../jobs/job-host';
import type { Sources } from '../models/sources';
import { storageOf } from '../models/weight-storage';

/** Tokens of a session that only loads weights. */
const SHORTEST_CONTEXT = 64;

export function modelsService(kept: KeptModels, hub: HubModels): ModelsService {
  return {
    list: () => kept.list(),
    delete: (id) => kept.delete(id),
    listWeights: () => hub.list(),
    pinWeights: (id, pinned) => hub.pin(id, pinned),
    deleteWeights: (id) => hub.delete(id),
  };
}

export function modelJobs(models: GpuModels, sources: Sources): JobHandlers<ModelJobs> {
  return {
    'models.keep': ({ ref }, { signal, report }) =>
      sources.keep(ref, (done, total) => report({ kind: 'progress', done, total, unit: 'bytes' }), signal),

    'models.fetch': ({ ref, storage }, { signal, report }) =>
      models.use({ model: ref, runId: null }, async () => {
        const onNotKept = (message: string) => report({ kind: 'notice', message });
        const { openEngine, model, cache } = await models.openAlone(ref, onNotKept);
        const options = { model, engine: await openEngine(), cache, storage: storageOf(storage) };
        const onProgress = (done: number, total: number) => report({ kind: 'progress', done, total, unit: 'bytes' });
        const generator = await openGenerator({ ...options, contextLength: SHORTEST_CONTEXT }, onProgress, signal);
        generator.dispose();
        return null;
      }),
  };
}
