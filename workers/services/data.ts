/** Datasets as a model reads them: the first rows at once, then all of them, kept while other settings change. */
import { transfer } from 'comlink';
import type { RunConfig } from '../../src/core/config';
import { CutError, GraftError, plainError } from '../../src/core/errors';
import type { HubModel } from '../../src/formats/model';
import {
  arrangeData,
  arrangementKey,
  checkBadRows,
  exampleViews,
  findColumns,
  inspectPrepared,
  packData,
  readData,
  readFirstRows,
  readingKey,
  withRunTemplate,
  type DatasetFile,
  type PreparedData,
  type ReadData,
} from '../../src/recipes';
import type { DataJobs, DataService, ReadRequest, RunRequest } from '../../src/protocol/data';
import type { JobEvent } from '../../src/protocol/jobs';
import type { JobContext, JobHandlers } from '../jobs/job-host';
import { Latest } from '../models/latest';
import type { OpenModels } from '../models/open-models';
import type { Pulse } from '../jobs/pulse';
import type { Readings } from '../runs/readings';
import { readRunDataset } from '../runs/run-files';
import { datasetId, modelKey, type Sources } from '../models/sources';
import type { RunLibrary, TabStore } from '../../src/storage/indexeddb';

export function dataService(tabs: TabStore): DataService {
  return {
    remember: (tab, ref) => tabs.setDataset(tab, ref),
    recall: async (tab, open) => (await tabs.dataset(tab, open)) ?? null,
    rememberText: (tab, typed) => tabs.setPastedText(tab, typed),
    recallText: async (tab) => (await tabs.pastedText(tab)) ?? null,
  };
}

/** Reads datasets for the jobs of the text worker, each once for all who ask with the same settings. */
export class DatasetReader {
  private readonly files = new Latest<DatasetFile>();
  private readonly arranged = new Latest<PreparedData>();

  constructor(
    private readonly models: OpenModels,
    private readonly sources: Sources,
    private readonly library: RunLibrary,
    private readonly readings: Readings,
    private readonly pulse: Pulse,
  ) {}

  /** The model as the run asks it, and the data as it reads them. */
  async read(request: ReadRequest, job: JobContext<JobEvent>): Promise<{ model: HubModel; data: ReadData }> {
    const { dataset, config } = request;
    const model = withRunTemplate(config, await this.models.open(request.model));
    const key = this.keyOf(request, model);
    const report = (done: number, total: number) => job.report({ kind: 'progress', done, total, unit: 'rows' });
    const make = async (tell: typeof report, signal: AbortSignal) => {
      const file = await this.file(dataset);
      const parsing = this.pulse.expect(file.bytes.length / PARSED_BYTES_PER_MS);
      try {
        return await readData(config, model, file, (rows, total) => (parsing.end(), tell(rows, total)), signal);
      } finally {
        parsing.end();
      }
    };
    return { model, data: await this.readings.get(key, make, report, job.signal) };
  }

  /** The same, split and batched as the run says. */
  async prepare(
    request: ReadRequest,
    job: JobContext<JobEvent>,
  ): Promise<{ model: HubModel; data: PreparedData; config: RunConfig }> {
    const { model, data } = await this.read(request, job);
    const { config } = request;
    // Another learning rate splits and batches nothing anew.
    const key = JSON.stringify([this.keyOf(request, model), arrangementKey(config)]);
    return { model, data: await this.arranged.get(key, async () => arrangeData(config, model, data)), config };
  }

  /** Whether the whole is read already, and nothing has to be said of its first rows. */
  async isRead(request: RunRequest): Promise<boolean> {
    const model = withRunTemplate(request.config, await this.models.open(request.model));
    return this.readings.has(this.keyOf(request, model));
  }

  /** The first rows of a large file. Undefined where the whole is as quick, or where they can't be told by themselves. */
  async readFirst(request: RunRequest) {
    const model = withRunTemplate(request.config, await this.models.open(request.model));
    const head = await this.readHead(request.dataset);
    const first = head && (await readFirstRows(request.config, model, head).catch(ignoreRefusal));
    return first && { model, first };
  }

  /** The beginning of a file that isn't built in. */
  readHead(dataset: RunRequest['dataset']) {
    return this.sources.datasetHead(dataset, HEAD_BYTES);
  }

  /** Names what is read, and how. */
  private keyOf({ model: ref, dataset, config }: ReadRequest, model: HubModel): string {
    return JSON.stringify([modelKey(ref), datasetId(dataset), readingKey(config, model)]);
  }

  async file(dataset: ReadRequest['dataset']): Promise<DatasetFile> {
    if ('runId' in dataset) return readRunDataset(this.library, await this.library.get(dataset.runId));
    return this.files.get(dataset.id, () => this.sources.dataset(dataset));
  }
}

/** Of the first rows, those that are shown as the model reads them before the rest is read. */
const FIRST_EXAMPLES = 100;

/** Bytes of a file from which its first rows are told. */
const HEAD_BYTES = 2 ** 20;

/** JSON in one piece is parsed in one go: slower than this a computer need not be, with a GPU beside it. */
const PARSED_BYTES_PER_MS = 20_000;

export function dataJobs(reader: DatasetReader): JobHandlers<DataJobs> {
  return {
    'data.inspect': async (request, job) => {
      if (!(await reader.isRead(request))) {
        const found = await reader.readFirst(request);
        if (found) {
          const { first, model } = found;
          const report = inspectPrepared(first.data, model, FIRST_EXAMPLES);
          job.report({ kind: 'first', report, estimatedRows: first.estimatedRows });
        }
      }
      const { model, data } = await reader.read(request, job).catch((error: unknown) => {
        if (error instanceof CutError) job.report({ kind: 'cut', longest: error.longest });
        throw error;
      });
      const report = inspectPrepared(data, model, 1);
      const refusal = refusalOf(request.config, data);
      if (refusal !== undefined) return { ...report, refusal };
      await reader.prepare(request, job);
      return report;
    },
    'data.columns': async ({ dataset }) => {
      const head = await reader.readHead(dataset);
      const found = head && findColumns(head.name, head.bytes);
      return found ? { ...found, columns: [...found.columns] } : null;
    },
    'data.examples': async (request, job) => {
      const { model, data } = await reader.read(request, job);
      return exampleViews(data, model, request.from, request.count);
    },
    'data.read': async (request, job) => {
      const packed = packData((await reader.read(request, job)).data);
      return transferPacked(packed);
    },
  };
}

/** Why a run can't take the rows that can be used. */
function refusalOf(config: RunConfig, data: ReadData): string | undefined {
  try {
    checkBadRows(config, data);
    return undefined;
  } catch (error) {
    return plainError(error).message;
  }
}

/** Hands the large arrays over instead of copying them. */
function transferPacked<T extends ReturnType<typeof packData>>(data: T): T {
  const { rows, ends, ids, labels, references, teacher } = data.packed;
  const arrays = [rows, ends, ids, labels, references, teacher.perToken, teacher.ids, teacher.logProbs];
  return transfer(
    data,
    arrays.map(({ buffer }) => buffer),
  );
}

function ignoreRefusal(error: unknown): undefined {
  if (error instanceof GraftError) return undefined; // the whole file will say it, or has better rows
  throw error;
}
