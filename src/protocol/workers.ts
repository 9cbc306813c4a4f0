/**
 * The two workers as the page sees them: an object of services each, one a feature, and its kinds of jobs. What crosses
 * is plain data, structured-clonable; callbacks cross through comlink's `proxy`. Failures arrive as errors whose `name`
 * carries the stable code (core/errors).
 */
import type { ChatJobs, ChatService } from './chat';
import type { DataJobs, DataService } from './data';
import type { DeviceJobs, DeviceService } from './device';
import type { EvaluationJobs, EvaluationService } from './evaluation';
import type { ExportJobs, ExportsService } from './exports';
import type { HubJobs, HubService } from './hub';
import type { JobRunner } from './jobs';
import type { ModelJobs, ModelsService, OpeningJobs } from './models';
import type { PlanJobs } from './plan';
import type { PromptJobs } from './prompts';
import type { RunJobs, RunsService } from './runs';

export type GpuJobs = DeviceJobs & RunJobs & ChatJobs & EvaluationJobs & ExportJobs & ModelJobs;
export type TextJobs = OpeningJobs & HubJobs & DataJobs & PlanJobs & PromptJobs;

/** Runs the engine: one job on the GPU at a time. Also keeps runs and models. */
export interface GpuWorker {
  readonly device: DeviceService;
  readonly hub: HubService;
  readonly models: ModelsService;
  readonly runs: RunsService;
  readonly chat: ChatService;
  readonly evaluation: EvaluationService;
  readonly exports: ExportsService;
  readonly jobs: JobRunner<GpuJobs>;
}

/** Parses, renders and tokenises what others wrote: jobs side by side. It may be ended at any time and started anew. */
export interface TextWorker {
  readonly hub: HubService;
  readonly data: DataService;
  readonly jobs: JobRunner<TextJobs>;
}

/** What the GPU worker's script exposes. `text` runs jobs in the text worker, which the page owns. */
export interface GpuEntry {
  open(baseUrl: string, text: JobRunner<TextJobs>): Promise<GpuWorker>;
}

/** What a text worker that is started before anybody asks it for anything finds as its name, in JSON. */
export interface EarlyStart {
  readonly baseUrl: string;
  /** A built-in model that it will be asked for. What others wrote is opened when it is asked for: it may hang. */
  readonly builtin: string | null;
}

/** What the text worker's script exposes. */
export interface TextEntry {
  open(baseUrl: string): Promise<TextWorker>;
}

/**
 * What the text worker says of itself beside its answers: a pulse while its thread is free, and how long the stretch of
 * work may take that comes now, in milliseconds, where that is longer than usual.
 */
export interface PulseMessage {
  readonly pulse: { readonly allowance: number };
}
