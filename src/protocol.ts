/**
 * The one interface between the page and its worker. Everything that crosses is plain data, structured-clonable;
 * callbacks cross through comlink's `proxy`. Failures arrive as errors whose `name` carries the stable code
 * (core/errors), and the client turns them into `PlainError`.
 */
import type { ProxyMarked } from 'comlink';
import type { RunConfig, RunConfigKey } from './core/config';
import type { DataReport, ExampleView, LogRow, PlainError, RunSummary, TrainEvent } from './core/events';
import type { KeptModel, RunDetail, RunRecord } from './core/library';
import type { KernelTime, Profile } from './core/profile';
import type { Message } from './core/text';

/** Bytes of GPU memory by what they hold. */
export interface MemoryReport {
  totalBytes: number;
  bytes: Record<string, number>;
}

export interface DeviceReport {
  vendor: string;
  architecture: string;
  description: string;
  /** True where the "GPU" is a program on the CPU: everything works, slower. */
  software: boolean;
  /** Largest single buffer and largest buffer that a shader may see, in bytes. */
  maxBufferBytes: number;
  maxBindingBytes: number;
}

/** A model on the Hub, whose `name` is `org/name`. */
export interface HubRef {
  kind: 'hub';
  name: string;
  /** Branch, tag or commit that was asked for. */
  revision: string;
  /** What it stood for when it was first opened; null asks for what it stands for now. */
  commit: string | null;
  /** Base URL of the Hub that has it; absent for huggingface.co, and without a commit for the Hub in use. */
  endpoint?: string;
}

export type ModelRef =
  | { kind: 'builtin'; name: string }
  | { kind: 'kept'; id: string; name: string }
  | HubRef
  /** A folder that the user opened. `keep` copies it into this browser, so that runs on it survive a reload. */
  | { kind: 'files'; id: string; name: string; files: File[]; keep: boolean };

export interface DatasetRef {
  /** Names this content: two refs with one id hold the same bytes. */
  id: string;
  /** A file name, or the name of a built-in set. */
  name: string;
  content: 'builtin' | Blob;
}

export interface ModelReport {
  /** How to ask for the same model again: a kept copy where one was made. */
  ref: ModelRef;
  name: string;
  family: string;
  parameters: number;
  layers: number;
  hiddenSize: number;
  vocabSize: number;
  maxPositions: number;
  /** How most of its weights are stored, and their bytes. */
  weightDType: string;
  weightBytes: number;
  /** The largest weight that is held in one piece, against the largest buffer of the device. */
  largestWeight: { name: string; bytes: number };
  /** Where the chat template comes from; null without a tokenizer. */
  templateSource: string | null;
  /** What was found in its files that isn't as it should be and was read all the same, a sentence each. */
  notices: string[];
  /** Why no copy could be kept, in words; null where it was, or was not asked for. */
  notKept: string | null;
}

/** Which Hub to ask, and as whom. */
export interface HubSettings {
  /** Base URL; null is huggingface.co. */
  endpoint: string | null;
  /** All that the user gave; each is sent to its own origin and to no other. */
  secrets: { origin: string; secret: string }[];
  /** Ask the Hub now for as little as can be: does the page's policy allow it? */
  check: boolean;
}

/** A model before any of its files is read. */
export interface FoundModel {
  name: string;
  parameters: number | null;
  /** Of its weight files. */
  downloadBytes: number | null;
  downloads: number | null;
  licence: string | null;
  /** Its owner asks for consent first, or keeps it private: reading it takes a token. */
  restricted: 'gated' | 'private' | null;
  /** `model_type`, where the Hub says it. */
  family: string | null;
  /** Whether Graft trains that family; true where the Hub doesn't say. */
  supported: boolean;
  /** What it is good for, of a curated model. */
  note: string | null;
}

export interface HubFindings {
  /** The query was a model's whole name, perhaps as the Hub's address of it: open this one. */
  named: HubRef | null;
  models: FoundModel[];
}

/** GPU memory that training a model takes at most, planned from its config.json alone. */
export type ModelSurvey = { name: string; totalBytes: number } | { name: string; error: PlainError };

/** Weights of a model on the Hub that this browser keeps, as the GPU holds them. */
export interface KeptWeights {
  id: string;
  model: HubRef;
  /** In which types: equal to `PlanReport.storage` where a run can use them. */
  storage: string;
  bytes: number;
  /** All of them are here; otherwise loading goes on where it stopped. */
  complete: boolean;
  /** Never deleted to make room for others. */
  pinned: boolean;
  /** Milliseconds since 1970. */
  usedAt: number;
}

/** Settings of a run that say how base weights are kept. */
export type StorageSettings = Pick<
  RunConfig,
  'dtype' | 'load_in_4bit' | 'use_bnb_nested_quant' | 'embedding_dtype' | 'use_peft'
>;

/** A model, a dataset and the settings: everything that a run is made of. */
export interface RunRequest {
  model: ModelRef;
  dataset: DatasetRef;
  config: RunConfig;
}

export interface PlanReport extends MemoryReport {
  trainableParameters: number;
  totalParameters: number;
  /** Optimiser steps of the whole run. */
  totalSteps: number;
  /** Padded lengths of the batches, in tokens. */
  lengths: number[];
  /** How the run keeps base weights, as `KeptWeights.storage`. */
  storage: string;
}

/** A setting that has to change for a run to fit, as it would stand in the run file. */
export interface FitChoice {
  key: RunConfigKey;
  value: RunConfig[RunConfigKey];
  /** A sentence. */
  why: string;
}

export interface FitReport {
  /** Empty where the run fits as it is. */
  choices: FitChoice[];
  /** The run with the choices made. */
  plan: PlanReport;
}

/** Which model answers. */
export type Voice = 'base' | 'tuned';

export interface GenerateRequest {
  model: ModelRef;
  /** The run to talk to; null where there is only a base model. */
  runId: string | null;
  /** How the base model's weights are kept where there is no run to say so. */
  storage: StorageSettings;
  voice: Voice;
  messages: Message[];
  maxNewTokens: number;
  /** 0 takes the likeliest token each time. */
  temperature: number;
  topP: number;
  seed: number;
  /** The answer ends before the first of these texts. */
  stop: string[];
}

export interface GenerateReply {
  text: string;
  promptTokens: number;
  newTokens: number;
  tokensPerSecond: number;
  finish: 'end-of-turn' | 'length' | 'stop-text';
}

export interface CompareRequest {
  model: ModelRef;
  runId: string;
  /** How many of the run's training questions to ask; all where there are fewer. */
  limit: number;
  maxNewTokens: number;
}

export interface Score {
  exactMatch: boolean;
  /** Token F1, 0 to 1. */
  f1: number;
}

/** A question with both greedy answers; one voice arrives after the other. */
export interface CompareRow {
  index: number;
  total: number;
  question: string;
  expected: string;
  voice: Voice;
  answer: string;
  score: Score;
}

export interface CompareSummary {
  rows: number;
  base: { exactMatch: number; f1: number };
  tuned: { exactMatch: number; f1: number };
}

/** What a training job says while it runs. The first message names the run in the library. */
export type RunEvent = { kind: 'run'; record: RunRecord } | TrainEvent;

/** A file to download. */
export interface ExportedFile {
  name: string;
  blob: Blob;
}

/** Name of a job, chosen by the page; `cancel` takes it. */
export type JobId = string;

/** What the worker's script exposes. */
export interface WorkerEntry {
  /** Opens the browser's storage. `baseUrl` is the document's base URL: where the page's own files are. */
  open(baseUrl: string): Promise<GraftWorker & ProxyMarked>;
}

export interface GraftWorker {
  /** @throws `no-webgpu` with what to do about it. */
  device(): Promise<DeviceReport>;
  /** Resolves with the reason when the GPU device goes away; the next job asks for a new one. */
  deviceLost(): Promise<string>;

  /**
   * From now on, asks this Hub. Resolves with its base URL.
   * @throws `bad-config` for what is no address of a Hub, or one that the page's policy doesn't allow
   */
  setHub(settings: HubSettings): Promise<string>;
  /** Models whose name has `query` in it; an empty one gives the curated list without asking anyone. */
  findModels(job: JobId, query: string): Promise<HubFindings>;
  /** Reads each model's config.json and plans a run of `config` on it; the answers come in any order. */
  survey(job: JobId, names: string[], config: RunConfig, onSurvey: (survey: ModelSurvey) => void): Promise<void>;

  /** Reads configuration, tokenizer and the headers of weight files, but no weights. */
  openModel(job: JobId, ref: ModelRef, onProgress: (loaded: number, total: number) => void): Promise<ModelReport>;
  /** Reads the dataset as the run would; `onProgress` hears how many rows of how many are read. */
  inspect(job: JobId, request: RunRequest, onProgress: (rows: number, totalRows: number) => void): Promise<DataReport>;
  /** Examples `from` … `from + count - 1`, counted from 0. */
  examples(request: RunRequest, from: number, count: number): Promise<ExampleView[]>;
  plan(request: RunRequest): Promise<PlanReport>;
  /** The least change that makes the run fit. @throws `out-of-memory` where nothing does, with what is left to do. */
  fit(request: RunRequest, budgetBytes: number): Promise<FitReport>;

  /** Jobs on the GPU wait in one queue; `cancel` stops a running job and takes a waiting one out. */
  train(job: JobId, request: RunRequest, onEvent: (event: RunEvent) => void): Promise<RunSummary>;
  /** Goes on from the run's last checkpoint. `model` is needed where the run's own was a folder of the disk. */
  resume(job: JobId, runId: string, model: ModelRef | null, onEvent: (event: RunEvent) => void): Promise<RunSummary>;
  /** The run that is training reports where the time of its next step goes, as a `profile` event. */
  profileNextStep(): Promise<void>;
  generate(job: JobId, request: GenerateRequest, onText: (piece: string) => void): Promise<GenerateReply>;
  compare(job: JobId, request: CompareRequest, onRow: (row: CompareRow) => void): Promise<CompareSummary>;
  cancel(job: JobId): Promise<void>;

  listRuns(): Promise<RunRecord[]>;
  readRun(runId: string): Promise<RunDetail>;
  renameRun(runId: string, name: string): Promise<void>;
  deleteRun(runId: string): Promise<void>;
  /** The run's downloadable files, or those named. */
  exportRun(runId: string, names?: string[]): Promise<ExportedFile[]>;
  /** What an unfinished run had learned by its last checkpoint, as an adapter's (or a model's) folder. */
  exportCheckpoint(runId: string): Promise<ExportedFile[]>;
  /** The run's model with its adapter merged in: a whole model folder. */
  exportMerged(
    job: JobId,
    runId: string,
    model: ModelRef,
    onProgress: (loaded: number, total: number) => void,
  ): Promise<ExportedFile[]>;

  /** The dataset of the user's own that the page shows; kept so that a reload finds it again. */
  rememberDataset(ref: DatasetRef | null): Promise<void>;
  recallDataset(): Promise<DatasetRef | null>;

  /**
   * Fetches the weights of a model on the Hub, quantises them on the GPU, and keeps the result, in the types that a
   * run with these settings has. Resolves with a sentence where not all could be kept, and null otherwise.
   */
  download(
    job: JobId,
    ref: ModelRef,
    storage: StorageSettings,
    onProgress: (loaded: number, total: number) => void,
    onPause: (reason: string) => void,
  ): Promise<string | null>;
  /** Most recently used first. */
  listWeights(): Promise<KeptWeights[]>;
  pinWeights(id: string, pinned: boolean): Promise<void>;
  /** @throws `storage` while they are being loaded, here or in another tab. */
  deleteWeights(id: string): Promise<void>;

  /** Copies of the user's models that this browser keeps. */
  listModels(): Promise<KeptModel[]>;
  deleteModel(id: string): Promise<void>;
}

export type {
  DataReport,
  ExampleView,
  KeptModel,
  KernelTime,
  LogRow,
  Profile,
  RunDetail,
  RunRecord,
  RunSummary,
  TrainEvent,
};
