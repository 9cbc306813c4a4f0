/** The worker that reads what others wrote: files, tokenizers, templates. The page may end it at any time. */
import { expose, proxy } from 'comlink';
import { KeptModels, openDatabase, RunLibrary, TabStore } from '../src/storage/indexeddb';
import type { EarlyStart, TextEntry, TextJobs, TextWorker } from '../src/protocol/workers';
import { HubDesk } from './hub/hub';
import { HubModels } from './hub/hub-models';
import { JobHost } from './jobs/job-host';
import { OpenModels } from './models/open-models';
import { Pulse } from './jobs/pulse';
import { Readings } from './runs/readings';
import { dataJobs, DatasetReader, dataService } from './services/data';
import { hubJobs, hubService } from './services/hub';
import { openingJobs } from './services/opening';
import { planJobs } from './services/plan';
import { promptJobs } from './services/prompts';
import { Sources } from './models/sources';

const pulse = new Pulse((message) => postMessage(message));
pulse.start();

async function createTextWorker(baseUrl: string, builtin: string | null = null): Promise<TextWorker> {
  const database = await openDatabase();
  const desk = new HubDesk();
  const hub = new HubModels(desk, database);
  const library = new RunLibrary(database);
  const sources = new Sources(baseUrl, new KeptModels(database), hub);
  const models = new OpenModels(sources, hub, library);
  if (builtin !== null) models.open({ kind: 'builtin', name: builtin }).catch(() => undefined); // whoever asks hears why
  const reader = new DatasetReader(models, sources, library, new Readings(), pulse);
  const jobs = new JobHost<TextJobs>(
    {
      ...openingJobs(models, pulse),
      ...hubJobs(desk),
      ...dataJobs(reader),
      ...planJobs(reader, pulse),
      ...promptJobs(models, reader, library, pulse),
    },
    { onStart: (job) => desk.reportPauses(job) },
  );
  return { hub: hubService(desk), data: dataService(new TabStore(database)), jobs };
}

/** The page is still being drawn, and its calls wait for that: what they will need is made meanwhile. */
function beginEarly(name: string): Promise<TextWorker> | undefined {
  if (name === '') return undefined;
  const { baseUrl, builtin } = JSON.parse(name) as EarlyStart;
  const early = createTextWorker(baseUrl, builtin);
  early.catch(() => undefined); // told to who opens it
  return early;
}

const early = beginEarly(self.name);
const entry: TextEntry = { open: async (baseUrl) => proxy(await (early ?? createTextWorker(baseUrl))) };
expose(entry);
