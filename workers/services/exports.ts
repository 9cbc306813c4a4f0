/** Files to download. */
import type { StoredModel } from '../../src/core/library';
import type { FileSource } from '../../src/core/store';
import { describeUsage, exportCheckpoint, mergeModel } from '../../src/recipes';
import type { ExportedFile, ExportJobs, ExportsService } from '../../src/protocol/exports';
import type { RunLibrary } from '../../src/storage/indexeddb';
import { CollectedFiles } from '../runs/collected';
import type { GpuModels } from '../models/gpu-models';
import type { JobHandlers } from '../jobs/job-host';
import { INTERNAL_FILES, readRunConfig } from '../runs/run-files';
import type { Sources } from '../models/sources';

export function exportsService(library: RunLibrary, sources: Sources): ExportsService {
  /** What a run's model is opened from, which says whether it is a GGUF file; undefined where it isn't here any more. */
  async function baseOf(model: StoredModel): Promise<FileSource | undefined> {
    if (model.kind === 'builtin' || model.kind === 'folder') return undefined;
    return sources.model(model).catch(() => undefined);
  }

  return {
    async run(runId, names) {
      const folder = library.folder(runId, (await library.get(runId)).name);
      const exported: ExportedFile[] = [];
      for (const { name } of await folder.entries()) {
        if (INTERNAL_FILES.has(name) || names?.includes(name) === false) continue;
        const blob = await folder.blob(name);
        if (blob) exported.push({ name, blob });
      }
      return exported;
    },

    async checkpoint(runId) {
      const { name, model } = await library.get(runId);
      const openModel = () => sources.model(sources.refOf(model));
      const { files } = await exportCheckpoint(library.folder(runId, name), openModel, await baseOf(model));
      return files.map((file) => ({ name: file.name, blob: new Blob([file.bytes]) }));
    },

    async usage(runId, folder) {
      const record = await library.get(runId);
      return describeUsage(await readRunConfig(library, record), folder, await baseOf(record.model));
    },
  };
}

export function exportJobs(models: GpuModels, sources: Sources): JobHandlers<ExportJobs> {
  return {
    'exports.merge': ({ runId, model: ref }, { signal, report }) =>
      models.use({ model: ref, runId }, async () => {
        const onNotice = (message: string) => report({ kind: 'notice', message });
        const { engine, model, run: adapter } = await models.speakers(ref, runId, onNotice);
        const store = new CollectedFiles();
        const modelFiles = await sources.model(ref);
        const onProgress = (done: number, total: number) => report({ kind: 'progress', done, total, unit: 'bytes' });
        await mergeModel({ model, modelFiles, adapter: adapter!, engine, store }, onProgress, signal);
        return store.files();
      }),
  };
}
