/** Files to download. */
import type { StoredModel } from '../../src/core/library';
import type { FileSource } from '../../src/core/store';
import { errorCode, GraftError } from '../../src/core/errors';
import { openGguf, storedTypes } from '../../src/formats/gguf';
import { openModel } from '../../src/formats/model';
import { fileListSource } from '../../src/storage/files';
import { describeUsage, exportCheckpoint, exportGguf, mergeModel, verifyExport } from '../../src/recipes';
import type { ExportedFile, ExportJobs, ExportsService } from '../../src/protocol/exports';
import type { RunLibrary } from '../../src/storage/indexeddb';
import { CollectedFiles } from '../runs/collected';
import type { GpuModels } from '../models/gpu-models';
import type { JobHandlers } from '../jobs/job-host';
import type { TextLink } from '../jobs/text-link';
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

/** Questions of a run's data that a written file is asked. */
const CHECKED_ON = 4;

/** The name of the file while it is read back. */
const FILE = 'model.gguf';

/** How often the weights are gone through: to be written, compared, and loaded to be asked, as they were and as written. */
const PASSES = 4;

/** Progress of several passes in a row as that of one piece of work: where it begins anew, the next pass has begun. */
function overPasses(passes: number, report: (done: number, total: number) => void): typeof report {
  let [pass, last] = [0, 0];
  return (done, total) => {
    if (done < last) pass = Math.min(pass + 1, passes - 1);
    last = done;
    report(pass * total + done, passes * total);
  };
}

export function exportJobs(models: GpuModels, sources: Sources, text: TextLink): JobHandlers<ExportJobs> {
  return {
    'exports.gguf': async ({ runId, model: ref, type }, { signal, report }) => {
      // Data that ask nothing leave the file to the questions that every model is asked.
      const asked = await text
        .run('prompts.questions', { model: ref, runId, limit: CHECKED_ON }, signal)
        .catch((error: unknown) => {
          if (errorCode(error) === 'bad-data') return undefined;
          throw error;
        });
      const prompts = asked?.slice(0, CHECKED_ON).map(({ ids }) => ({ kind: 'tokens', ids, opensTurn: true }) as const);
      return models.use({ model: ref, runId }, async () => {
        const onNotice = (message: string) => report({ kind: 'notice', message });
        const { engine, model, run } = await models.speakers(ref, runId, onNotice);
        models.answering.release(); // both need not fit together
        const parts = { model, adapter: run!, engine };
        const store = new CollectedFiles();
        const onProgress = overPasses(PASSES, (done, total) =>
          report({ kind: 'progress', done, total, unit: 'bytes' }),
        );
        const written = { ...parts, modelFiles: await sources.model(ref), store, file: FILE, type };
        const { notices } = await exportGguf(written, onProgress, signal);
        const { blob } = store.files()[0]!;
        const folder = fileListSource('the download', [new File([blob], FILE)]);
        const [exported, types] = [await openModel(await openGguf(folder, FILE)), await storedTypes(folder, FILE)];
        const found = await verifyExport({ ...parts, exported, types, prompts }, onProgress, signal);
        if (found.findings.length > 0) {
          throw new GraftError(
            'bad-file',
            `The file that was written is not the model, and is not offered: ${found.findings.join(' ')}`,
          );
        }
        const { answers } = found;
        return { name: FILE, blob, notices: [...notices, ...found.notices], ...(answers && { answers }) };
      });
    },
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
