/** The worker's side of the protocol: each call finds what it refers to, hands it to a recipe, and answers plainly. */
import { describePause } from '../src/connections/pauses';
import { formatRunConfig, type RunConfig } from '../src/core/config';
import { BYTES_PER_ELEMENT, elementCount } from '../src/core/dtypes';
import { errorCode } from '../src/core/errors';
import { EMBEDDING, HEAD, parameters } from '../src/core/spec';
import { openModel, type HubModel } from '../src/formats/model';
import {
  exampleViews,
  exportCheckpoint,
  fitToBudget,
  inspectPrepared,
  mergeModel,
  obstacleOf,
  openGenerator,
  planRun,
  arrangeData,
  questionsOf,
  readData,
  readingKey,
  withRunTemplate,
  withTemplateOfRun,
  type DatasetFile,
  type PreparedData,
  type RunPlan,
  type WeightStorage,
} from '../src/recipes';
import { KeptModels, openDatabase, RunLibrary, Workspace } from '../src/storage/indexeddb';
import type * as protocol from '../src/protocol';
import { Answering } from './answering';
import { CollectedFiles } from './collected';
import { EngineHolder } from './device';
import { HubDesk } from './hub';
import { HubModels } from './hub-models';
import { JobQueue, JobSet, orCancelled } from './jobs';
import { Latest } from './latest';
import { Readings } from './readings';
import { modelKey, Sources } from './sources';
import { INTERNAL_FILES, Training } from './training';

const DATASET_KEY = 'dataset';
const KERNELS_KEY = 'kernels ';
/** Tokens of a session that only loads weights. */
const SHORTEST_CONTEXT = 64;

export async function createGraftWorker(baseUrl: string): Promise<protocol.GraftWorker> {
  const database = await openDatabase();
  const kept = new KeptModels(database);
  await kept.sweep();
  const desk = new HubDesk();
  const hub = new HubModels(desk, database);
  await hub.sweep();
  return new EngineWorker(
    desk,
    hub,
    new Sources(baseUrl, kept, hub),
    kept,
    new RunLibrary(database),
    new Workspace(database),
  );
}

class EngineWorker implements protocol.GraftWorker {
  private readonly engine: EngineHolder;
  private readonly training: Training;
  private readonly answering = new Answering();
  /** Jobs on the GPU, and beside them the opening of models and questions to the Hub. */
  private readonly gpuJobs = new JobQueue();
  private readonly openings = new JobQueue();
  private readonly searches = new JobQueue();
  /** Side by side, so that a new one can take over what an old one has begun to read. */
  private readonly inspections = new JobSet();
  private readonly models = new Latest<HubModel>();
  private readonly datasets = new Latest<DatasetFile>();
  private readonly readings = new Readings();

  constructor(
    private readonly desk: HubDesk,
    private readonly hub: HubModels,
    private readonly sources: Sources,
    private readonly kept: KeptModels,
    private readonly library: RunLibrary,
    private readonly workspace: Workspace,
  ) {
    hub.onDamaged = () => this.models.forget();
    this.training = new Training(library);
    this.engine = new EngineHolder({
      read: (adapter) => workspace.get(KERNELS_KEY + adapter),
      write: (adapter, choices) => workspace.set(KERNELS_KEY + adapter, choices),
    });
  }

  device() {
    return this.engine.report();
  }

  deviceLost() {
    return this.engine.lost();
  }

  setHub(settings: protocol.HubSettings) {
    return this.desk.use(settings);
  }

  findModels(job: protocol.JobId, query: string) {
    return this.searches.run(job, (signal) => this.desk.find(query, signal));
  }

  survey(job: protocol.JobId, names: string[], config: RunConfig, onSurvey: (survey: protocol.ModelSurvey) => void) {
    return this.searches.run(job, (signal) => this.desk.survey(names, config, onSurvey, signal));
  }

  openModel(job: protocol.JobId, ref: protocol.ModelRef, onProgress: (loaded: number, total: number) => void) {
    return this.openings.run(job, async (signal) => {
      if (ref.kind === 'hub') return orCancelled(this.openHubModel(ref, signal), signal);
      const model = await this.model(ref);
      if (ref.kind !== 'files' || !ref.keep) return modelReport(model, ref, null);
      try {
        return modelReport(model, await this.sources.keep(ref, onProgress, signal), null);
      } catch (error) {
        if (errorCode(error) !== 'storage') throw error;
        return modelReport(model, ref, (error as Error).message);
      }
    });
  }

  inspect(job: protocol.JobId, request: protocol.RunRequest, onProgress: (rows: number, totalRows: number) => void) {
    return this.inspections.run(job, async (signal) => {
      const data = await this.prepare(request, onProgress, signal);
      return inspectPrepared(data, await this.model(request.model), 1);
    });
  }

  async examples(request: protocol.RunRequest, from: number, count: number) {
    return exampleViews(await this.prepare(request), await this.model(request.model), from, count);
  }

  async plan(request: protocol.RunRequest): Promise<protocol.PlanReport> {
    const data = await this.prepare(request);
    return planReport(planRun(request.config, await this.model(request.model), data), data);
  }

  async fit(request: protocol.RunRequest, budgetBytes: number): Promise<protocol.FitReport> {
    const data = await this.prepare(request);
    const model = await this.model(request.model);
    const { plan, choices } = fitToBudget(request.config, model, budgetBytes, data, { shorten: true });
    return { choices: choices.map((choice) => ({ ...choice })), plan: planReport(plan, data) };
  }

  train(job: protocol.JobId, request: protocol.RunRequest, onEvent: (event: protocol.RunEvent) => void) {
    return this.gpuJobs.run(job, async (signal) => {
      const dataset = await this.dataset(request.dataset);
      const open = async () => ({
        ...(await this.openForTraining(request.model)),
        readData: this.sharedReading(request.model, request.dataset),
      });
      return this.training.start(request, dataset, open, onEvent, signal);
    });
  }

  resume(
    job: protocol.JobId,
    runId: string,
    model: protocol.ModelRef | null,
    onEvent: (event: protocol.RunEvent) => void,
  ) {
    return this.gpuJobs.run(job, async (signal) => {
      const { model: stored } = await this.library.get(runId);
      const open = () => this.openForTraining(model ?? this.sources.again(stored));
      return this.training.resume(runId, open, onEvent, signal);
    });
  }

  profileNextStep(): Promise<void> {
    this.training.profileNextStep();
    return Promise.resolve();
  }

  generate(job: protocol.JobId, request: protocol.GenerateRequest, onText: (piece: string) => void) {
    return this.gpuJobs.run(job, async (signal) => {
      const storage = baseStorage(request.storage);
      const asked = { ...(await this.asked(request.model, request.runId)), storage };
      const key = JSON.stringify([modelKey(request.model), request.runId ?? storage]);
      return this.answering.generate(key, asked, request, onText, signal);
    });
  }

  compare(job: protocol.JobId, request: protocol.CompareRequest, onRow: (row: protocol.CompareRow) => void) {
    return this.gpuJobs.run(job, async (signal) => {
      const record = await this.library.get(request.runId);
      const config = await this.training.config(record);
      const asked = await this.asked(request.model, request.runId);
      const questions = await questionsOf(await this.training.dataset(record), {
        maxBadRows: config.max_bad_rows,
        rows: config.max_train_samples,
        limit: request.limit,
        obstacle: obstacleOf(config, asked.model),
      });
      return this.answering.compare(asked, questions, request, onRow, signal);
    });
  }

  cancel(job: protocol.JobId): Promise<void> {
    for (const queue of [this.gpuJobs, this.openings, this.searches, this.inspections]) queue.cancel(job);
    return Promise.resolve();
  }

  listRuns() {
    return this.library.list();
  }

  async readRun(runId: string): Promise<protocol.RunDetail> {
    const record = await this.library.get(runId);
    const entries = await this.library.folder(runId, record.name).entries();
    const files = entries.filter(({ name }) => !INTERNAL_FILES.has(name)).map(({ name, size }) => ({ name, size }));
    const runFile = formatRunConfig(await this.training.config(record));
    return { record, files, log: await this.training.log(record), runFile };
  }

  async renameRun(runId: string, name: string): Promise<void> {
    await this.library.update(runId, { name });
  }

  async deleteRun(runId: string): Promise<void> {
    this.answering.release();
    await this.library.delete(runId);
  }

  async exportRun(runId: string, names?: string[]): Promise<protocol.ExportedFile[]> {
    const { record, files } = await this.readRun(runId);
    const folder = this.library.folder(runId, record.name);
    const exported: protocol.ExportedFile[] = [];
    for (const { name } of files) {
      const bytes = names && !names.includes(name) ? undefined : await folder.read(name);
      if (bytes) exported.push({ name, blob: new Blob([bytes]) });
    }
    return exported;
  }

  async exportCheckpoint(runId: string): Promise<protocol.ExportedFile[]> {
    const { name, model } = await this.library.get(runId);
    const openModel = () => this.sources.model(this.sources.again(model));
    const { files } = await exportCheckpoint(this.library.folder(runId, name), openModel);
    return files.map((file) => ({ name: file.name, blob: new Blob([file.bytes]) }));
  }

  exportMerged(
    job: protocol.JobId,
    runId: string,
    ref: protocol.ModelRef,
    onProgress: (loaded: number, total: number) => void,
  ) {
    return this.gpuJobs.run(job, async (signal) => {
      const { engine, model, run: adapter } = await this.asked(ref, runId);
      const store = new CollectedFiles();
      const modelFiles = await this.sources.model(ref);
      await mergeModel({ model, modelFiles, adapter: adapter!, engine, store }, onProgress, signal);
      return store.files();
    });
  }

  rememberDataset(ref: protocol.DatasetRef | null): Promise<void> {
    return this.workspace.set(DATASET_KEY, ref);
  }

  async recallDataset(): Promise<protocol.DatasetRef | null> {
    return ((await this.workspace.get(DATASET_KEY)) as protocol.DatasetRef | null | undefined) ?? null;
  }

  download(
    job: protocol.JobId,
    ref: protocol.ModelRef,
    storage: protocol.StorageSettings,
    onProgress: (loaded: number, total: number) => void,
    onPause: (reason: string) => void,
  ) {
    return this.gpuJobs.run(job, async (signal) => {
      this.desk.pauses.listen(signal, (pause) => onPause(describePause(pause)));
      this.answering.release();
      let notKept: string | null = null;
      const cache = this.hub.cache(ref, (message) => (notKept = message));
      const [model, engine] = [await this.model(ref), await this.engine.open()];
      const options = { model, engine, cache, storage: baseStorage(storage), contextLength: SHORTEST_CONTEXT };
      (await openGenerator(options, onProgress, signal)).dispose();
      return notKept;
    });
  }

  listWeights() {
    return this.hub.list();
  }

  pinWeights(id: string, pinned: boolean) {
    return this.hub.pin(id, pinned);
  }

  async deleteWeights(id: string): Promise<void> {
    this.answering.release();
    await this.hub.delete(id);
  }

  listModels() {
    return this.kept.list();
  }

  deleteModel(id: string): Promise<void> {
    return this.kept.delete(id);
  }

  private async openHubModel(asked: protocol.HubRef, signal: AbortSignal): Promise<protocol.ModelReport> {
    const ref = await this.hub.resolve(asked, signal);
    let notKept: string | null = null;
    const model = await this.models.get(modelKey(ref), () =>
      this.hub.open(ref, (message) => (notKept = message), signal),
    );
    return modelReport(model, ref, notKept);
  }

  /** The conversation's memory is freed first: training and chat need not fit together. */
  private async openForTraining(ref: protocol.ModelRef) {
    this.answering.release();
    const openEngine = () => this.engine.open();
    return {
      openEngine,
      model: await this.model(ref),
      modelFiles: await this.sources.model(ref),
      cache: this.hub.cache(ref),
    };
  }

  private async asked(ref: protocol.ModelRef, runId: string | null) {
    const run =
      runId === null ? undefined : this.library.folder(runId, (await this.library.get(runId)).name).asSource();
    const opened = await this.model(ref);
    const model = run ? await withTemplateOfRun(opened, run) : opened;
    return { engine: await this.engine.open(), model, cache: this.hub.cache(ref), run };
  }

  private model(ref: protocol.ModelRef): Promise<HubModel> {
    return this.models.get(modelKey(ref), async () =>
      ref.kind === 'hub' ? this.hub.open(ref) : openModel(await this.sources.model(ref)),
    );
  }

  private dataset(ref: protocol.DatasetRef): Promise<DatasetFile> {
    return this.datasets.get(ref.id, () => this.sources.dataset(ref));
  }

  private async prepare(
    { model: ref, dataset, config }: protocol.RunRequest,
    report?: (rows: number, totalRows: number) => void,
    signal?: AbortSignal,
  ): Promise<PreparedData> {
    const model = withRunTemplate(config, await this.model(ref));
    const read = this.sharedReading(ref, dataset);
    return arrangeData(config, model, await read(config, model, await this.dataset(dataset), report, signal));
  }

  /** Reads a dataset for a model, once for all who ask with the same settings. */
  private sharedReading(ref: protocol.ModelRef, { id }: protocol.DatasetRef): typeof readData {
    return (run, model, file, report, signal) => {
      const key = JSON.stringify([modelKey(ref), id, readingKey(run, model)]);
      return this.readings.get(key, (tell, stop) => readData(run, model, file, tell, stop), report, signal);
    };
  }
}

/** How a run with these settings keeps base weights; one that trains all of them holds them in 32 bits. */
function baseStorage(settings: protocol.StorageSettings): WeightStorage {
  const { use_peft, load_in_4bit, use_bnb_nested_quant, embedding_dtype } = settings;
  return { dtype: use_peft ? settings.dtype : 'float32', load_in_4bit, use_bnb_nested_quant, embedding_dtype };
}

function planReport(plan: RunPlan, data: PreparedData): protocol.PlanReport {
  const { memory, lengths, trainableParameters, totalParameters, storage } = plan;
  return {
    totalBytes: memory.totalBytes,
    bytes: { ...memory.bytes },
    lengths: [...lengths],
    trainableParameters,
    totalParameters,
    totalSteps: data.totalSteps,
    storage,
  };
}

function modelReport(model: HubModel, ref: protocol.ModelRef, notKept: string | null): protocol.ModelReport {
  const { spec, weightDType, weightBytes } = model;
  const weights = parameters(spec).map(({ name, shape }) => ({ name, elements: elementCount(shape) }));
  const whole = weights.filter(({ name }) => name !== EMBEDDING && name !== HEAD);
  const largest = whole.reduce((most, weight) => (weight.elements > most.elements ? weight : most));
  return {
    ref,
    name: ref.name,
    family: spec.family,
    parameters: weights.reduce((sum, { elements }) => sum + elements, 0),
    layers: spec.numLayers,
    hiddenSize: spec.hiddenSize,
    vocabSize: spec.vocabSize,
    maxPositions: spec.maxPositions,
    weightDType,
    weightBytes,
    largestWeight: { name: largest.name, bytes: largest.elements * BYTES_PER_ELEMENT[weightDType] },
    templateSource: model.template?.source ?? null,
    notices: [...model.notices],
    notKept,
  };
}
