/** GPU memory of a run, before it is started. */
import type { RunConfig, RunConfigKey } from '../core/config';
import type { JobKind } from './jobs';
import type { TrainRequest } from './runs';

/** Bytes of GPU memory by what they hold. */
export interface MemoryReport {
  totalBytes: number;
  bytes: Record<string, number>;
}

export interface PlanReport extends MemoryReport {
  trainableParameters: number;
  totalParameters: number;
  /** Flops of training on a token, about. */
  flopsPerToken: number;
  /** Optimiser steps of the whole run. */
  totalSteps: number;
  /** Padded lengths of the batches, in tokens. */
  lengths: number[];
  /** How the run keeps base weights, as `KeptWeights.storage`. */
  storage: string;
  /** Of `totalBytes`, what a chat with the run takes while it trains; 0 where the request asks for none. */
  talkBytes: number;
}

/** A setting that has to change for a run to fit, as it would stand in the run file. */
export interface FitChoice {
  key: RunConfigKey;
  value: RunConfig[RunConfigKey];
  /** A sentence. */
  why: string;
}

export interface FitReport {
  /** Empty where the settings of the run fit as they are. */
  choices: FitChoice[];
  /** Whether there is room for a chat with it: it gives way before any setting does. */
  talk: boolean;
  /** The run with the choices made. */
  plan: PlanReport;
}

export type PlanJobs = {
  'plan.run': JobKind<TrainRequest, PlanReport>;
  /** The least change that makes the run fit. @throws `out-of-memory` where nothing does, with what is left to do. */
  'plan.fit': JobKind<{ run: TrainRequest; budgetBytes: number }, FitReport>;
};
