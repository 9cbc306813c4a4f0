/** Runs: training them, and the library of those that were trained. */
import { formatRunConfig } from '../../src/core/config';
import { unpackData, type DataFacts, type FinetuneInput } from '../../src/recipes';
import type { RunLibrary } from '../../src/storage/indexeddb';
import type { ReadRequest } from '../../src/protocol/data';
import type { JobEvent } from '../../src/protocol/jobs';
import type { RunEvent, RunJobs, RunsService } from '../../src/protocol/runs';
import type { GpuModels } from '../models/gpu-models';
import type { JobContext, JobHandlers } from '../jobs/job-host';
import { INTERNAL_FILES, readRunConfig, readRunLog } from '../runs/run-files';
import type { Sources } from '../models/sources';
import type { TextLink } from '../jobs/text-link';
import type { TrainInput, Training, TrainingEvent } from '../runs/training';

export function runsService(library: RunLibrary, training: Training, models: GpuModels): RunsService {
  return {
    list: () => library.list(),

    async read(runId) {
      const record = await library.get(runId);
      const entries = await library.folder(runId, record.name).entries();
      const files = entries.filter(({ name }) => !INTERNAL_FILES.has(name)).map(({ name, size }) => ({ name, size }));
      const runFile = formatRunConfig(await readRunConfig(library, record));
      return { record, files, log: await readRunLog(library, record), runFile };
    },

    async rename(runId, name) {
      await library.update(runId, { name });
    },

    async delete(runId) {
      await library.delete(runId);
      models.answering.release(runId);
    },

    profileNextStep() {
      training.profileNextStep();
      return Promise.resolve();
    },
  };
}

export function runJobs(
  library: RunLibrary,
  training: Training,
  models: GpuModels,
  sources: Sources,
  text: TextLink,
): JobHandlers<RunJobs> {
  return {
    'runs.train': async (request, job) => {
      const dataset = await sources.dataset(request.dataset);
      const open = () => openForTraining(models, text, request, job);
      return models.use({ model: request.model, runId: null }, () =>
        training.start(request, dataset, open, (event) => job.report(jobEvent(event)), job.signal),
      );
    },

    'runs.resume': async ({ runId, model: opened, talk }, job) => {
      const record = await library.get(runId);
      const model = opened ?? sources.refOf(record.model);
      const config = await readRunConfig(library, record);
      const request = { model, dataset: { runId }, config };
      const open = () => openForTraining(models, text, request, job);
      return models.use({ model, runId: null }, () =>
        training.resume({ runId, talk }, open, (event) => job.report(jobEvent(event)), job.signal),
      );
    },
  };
}

async function openForTraining(
  models: GpuModels,
  text: TextLink,
  request: ReadRequest,
  job: JobContext<JobEvent<RunEvent>>,
): Promise<TrainInput> {
  // A tokenizer that hangs at opening does so there, where it can be ended.
  await text.run('models.open', { ref: request.model }, job.signal);
  return { readData: readThroughText(text, request, job), ...(await models.openAlone(request.model)) };
}

/** Rows are read by the text worker, which can be ended where a row hangs it. */
function readThroughText(
  text: TextLink,
  request: ReadRequest,
  job: JobContext<JobEvent<RunEvent>>,
): NonNullable<FinetuneInput['readData']> {
  return async (config, _model, _file, report) => {
    const { model, dataset } = request;
    const { packed, facts } = await text.run('data.read', { model, dataset, config }, job.signal, (event) => {
      if (event.kind === 'progress') report?.(event.done, event.total);
    });
    return unpackData({ packed, facts: facts as DataFacts });
  };
}

/** What training says, as every job says it. */
function jobEvent(event: TrainingEvent): JobEvent<RunEvent> {
  if (event.kind === 'reading') return { kind: 'progress', done: event.rows, total: event.totalRows, unit: 'rows' };
  if (event.kind === 'loading')
    return { kind: 'progress', done: event.loadedBytes, total: event.totalBytes, unit: 'bytes' };
  if (event.kind === 'compiling')
    return { kind: 'progress', done: event.kernels, total: event.totalKernels, unit: 'kernels' };
  return event;
}
