/** Runs: training them, and the library of those that were trained. */
import type { RunSummary, TrainEvent } from '../core/events';
import type { RunDetail, RunRecord } from '../core/library';
import type { Voice } from './chat';
import type { RunRequest } from './data';
import type { JobKind } from './jobs';
import type { ModelRef } from './models';

/** A run to train, or to plan. */
export interface TrainRequest extends RunRequest {
  /** Whether there is to be room for a chat with it while it trains; a run that doesn't fit with it trains without. */
  talk: boolean;
}

/** What training says of its own; the first event names the run in the library. */
export type RunEvent =
  | { readonly kind: 'run'; readonly record: RunRecord }
  /** From now on, and until it ends, the run answers: `chat.answer` with its id. */
  | { readonly kind: 'talk'; readonly voices: readonly Voice[] }
  | Exclude<TrainEvent, { kind: 'reading' | 'loading' | 'compiling' | 'notice' }>;

export interface RunsService {
  /** Newest first. */
  list(): Promise<RunRecord[]>;
  read(runId: string): Promise<RunDetail>;
  rename(runId: string, name: string): Promise<void>;
  /** @throws `storage` while it trains, or while an answer comes from it. */
  delete(runId: string): Promise<void>;
  /** The run that is training reports where the time of its next step goes, as a `profile` event. */
  profileNextStep(): Promise<void>;
}

export type RunJobs = {
  'runs.train': JobKind<TrainRequest, RunSummary, RunEvent>;
  /** Goes on from the run's last checkpoint. `model` is needed where the run's own was a folder of the disk. */
  'runs.resume': JobKind<{ runId: string; model: ModelRef | null; talk: boolean }, RunSummary, RunEvent>;
};
