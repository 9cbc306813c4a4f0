/** The worker that runs the engine. */
import { expose, proxy } from 'comlink';
import {
  ChatStore,
  EvaluationStore,
  KeptModels,
  openDatabase,
  RunLibrary,
  SettingsStore,
} from '../src/storage/indexeddb';
import type { GpuEntry, GpuJobs, GpuWorker, TextJobs } from '../src/protocol/workers';
import type { JobRunner } from '../src/protocol/jobs';
import { EngineHolder } from './models/engine-holder';
import { GpuModels } from './models/gpu-models';
import { HubDesk } from './hub/hub';
import { HubModels } from './hub/hub-models';
import { JobHost } from './jobs/job-host';
import { OpenModels } from './models/open-models';
import { chatJobs, chatService } from './services/chat';
import { deviceJobs, deviceService } from './services/device';
import { evaluationJobs, evaluationService } from './services/evaluation';
import { exportJobs, exportsService } from './services/exports';
import { hubService } from './services/hub';
import { modelJobs, modelsService } from './services/models';
import { runJobs, runsService } from './services/runs';
import { Sources } from './models/sources';
import { TextLink } from './jobs/text-link';
import { Training } from './runs/training';

async function createGpuWorker(baseUrl: string, textJobs: JobRunner<TextJobs>): Promise<GpuWorker> {
  const database = await openDatabase();
  const kept = new KeptModels(database);
  const desk = new HubDesk();
  const hub = new HubModels(desk, database);
  await Promise.all([kept.sweep(), hub.sweep()]);
  const library = new RunLibrary(database);
  const sources = new Sources(baseUrl, kept, hub);
  const engine = new EngineHolder(new SettingsStore(database).kernelChoices());
  const models = new GpuModels(new OpenModels(sources, hub, library), sources, hub, engine, library, kept);
  const training = new Training(library);
  const text = new TextLink(textJobs);
  const jobs = new JobHost<GpuJobs>(
    {
      ...deviceJobs(engine),
      ...runJobs(library, training, models, sources, text),
      ...chatJobs(models, training, text),
      ...evaluationJobs(models, text),
      ...exportJobs(models, sources, text),
      ...modelJobs(models, sources),
    },
    {
      besideQueue: {
        'models.keep': () => true, // it needs no GPU
        'chat.answer': ({ runId }) => training.speakerOf(runId) !== undefined,
      },
      onStart: (job) => desk.reportPauses(job),
    },
  );
  return {
    device: deviceService(engine),
    hub: hubService(desk),
    models: modelsService(kept, hub),
    runs: runsService(library, training, models),
    chat: chatService(new ChatStore(database)),
    evaluation: evaluationService(new EvaluationStore(database)),
    exports: exportsService(library, sources),
    jobs,
  };
}

const entry: GpuEntry = { open: async (baseUrl, text) => proxy(await createGpuWorker(baseUrl, text)) };
expose(entry);
