/** Files to download. */
import type { StoredModel } from '../../src/core/library';
import { decodeUtf8, type FileSource } from '../../src/core/store';
import { errorCode, GraftError } from '../../src/core/errors';
import { openGguf, storedTypes } from '../../src/formats/gguf';
import { openModel } from '../../src/formats/model';
import { fileListSource } from '../../src/storage/files';
import {
  CARD,
  describeExport,
  describeUsage,
  exportCheckpoint,
  exportGguf,
  mergeModel,
  modelfileOf,
  verifyExport,
  verifyModelfile,
  type Prompt,
} from '../../src/recipes';
import type { ExportedFile, ExportJobs, ExportsService } from '../../src/protocol/exports';
import type { CommonEvent } from '../../src/protocol/jobs';
import type { ModelRef } from '../../src/protocol/models';
import type { RunLibrary } from '../../src/storage/indexeddb';
import { CollectedFiles } from '../runs/collected';
import type { GpuModels } from '../models/gpu-models';
import type { JobContext, JobHandlers } from '../jobs/job-host';
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

/** How a card says where they come from. */
const PROMPTS_FROM = "questions of the run's data";

/** How often the weights are gone through: to be written, compared, and loaded to be asked, as they were, as written, and as the base. */
const PASSES = 5;

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
  /** What a written model is asked; undefined where the run's data ask nothing, which leaves Graft's own questions. */
  async function questions(runId: string, model: ModelRef, signal: AbortSignal): Promise<Prompt[] | undefined> {
    const asked = await text
      .run('prompts.questions', { model, runId, limit: CHECKED_ON }, signal)
      .catch((error: unknown) => {
        if (['bad-data', 'not-found', 'unsupported'].includes(errorCode(error) ?? '')) return undefined;
        throw error;
      });
    return asked?.slice(0, CHECKED_ON).map(({ ids }) => ({ kind: 'tokens', ids, opensTurn: true }));
  }

  /** What a job writes of, with its own way to say how far it is. */
  async function open(runId: string, ref: ModelRef, { report }: JobContext<CommonEvent>) {
    const speakers = await models.speakers(ref, runId, (message) => report({ kind: 'notice', message }));
    const { engine } = speakers;
    const run = speakers.run!;
    // A run that trained the whole model has left a model folder.
    const isAdapter = (await run.list()).includes('adapter_config.json');
    const model = isAdapter ? speakers.model : await openModel(run);
    const modelFiles = isAdapter ? await sources.model(ref) : run;
    models.answering.release(); // both need not fit together
    const onProgress = overPasses(PASSES, (done, total) => report({ kind: 'progress', done, total, unit: 'bytes' }));
    const store = new CollectedFiles();
    const adapter = isAdapter ? run : undefined;
    const parts = { model, modelName: model.name, adapter, engine, modelFiles, store };
    const written = () =>
      fileListSource(
        'the download',
        store.files().map(({ name, blob }) => new File([blob], name)),
      );
    return { parts, onProgress, written };
  }

  return {
    'exports.gguf': async ({ runId, model: ref, type, fileName: file }, context) => {
      const { signal } = context;
      const prompts = await questions(runId, ref, signal);
      return models.use({ model: ref, runId }, async () => {
        const { parts, onProgress, written } = await open(runId, ref, context);
        const ollama = await modelfileOf({ ...parts, file }).catch(sayUnsupported);
        const { notices } = await exportGguf({ ...parts, file, type, addsBos: ollama.addsBos }, onProgress, signal);
        const { blob } = parts.store.files()[0]!;
        const folder = written();
        const [exported, types] = [await openModel(await openGguf(folder, file)), await storedTypes(folder, file)];
        const compared = { ...parts, exported, types, prompts, bosOfConversations: ollama.text !== undefined };
        const found = await verifyExport(compared, onProgress, signal);
        const asked = ollama.text === undefined ? [] : await verifyModelfile(parts, ollama.text, folder, file);
        refuseDifferent([...found.findings, ...asked]);
        const all = [...notices, ...ollama.notices, ...found.notices];
        const promptsFrom = prompts && PROMPTS_FROM;
        const card = await describeExport({
          ...parts,
          exported: { kind: 'gguf', file, type },
          found,
          promptsFrom,
          notices: all,
        });
        return {
          ...{ name: file, blob, notices: all, card: decodeUtf8(card) },
          ...(ollama.text !== undefined && { modelfile: ollama.text }),
          ...(found.answers && { answers: found.answers }),
        };
      });
    },
    'exports.merge': async ({ runId, model: ref, folder }, context) => {
      const { signal } = context;
      const prompts = await questions(runId, ref, signal);
      return models.use({ model: ref, runId }, async () => {
        const { parts, onProgress, written } = await open(runId, ref, context);
        const { adapter } = parts;
        if (!adapter) throw new GraftError('unsupported', 'The run trained the whole model: its files are that model.');
        await mergeModel({ ...parts, adapter }, onProgress, signal);
        const exported = await openModel(written());
        const found = await verifyExport({ ...parts, exported, prompts }, onProgress, signal);
        refuseDifferent(found.findings);
        const promptsFrom = prompts && PROMPTS_FROM;
        const card = await describeExport({
          ...parts,
          exported: { kind: 'merged', folder },
          found,
          promptsFrom,
          notices: [],
        });
        await parts.store.write(CARD, card);
        return {
          ...{ files: parts.store.files(), notices: [...found.notices] },
          ...(found.answers && { answers: found.answers }),
        };
      });
    },
  };
}

/** A file is none the worse for Ollama's TEMPLATE not being able to follow its chat template: that is said. */
function sayUnsupported(error: unknown): { text?: undefined; addsBos?: undefined; notices: string[] } {
  if (!(error instanceof GraftError) || !['unsupported', 'bad-config'].includes(error.code)) throw error;
  return { notices: [`There is no Modelfile: ${error.message}`] };
}

/** @throws `bad-file` where something was found */
function refuseDifferent(findings: readonly string[]): void {
  if (findings.length === 0) return;
  throw new GraftError('bad-file', `What was written is not the model, and is not offered: ${findings.join(' ')}`);
}
