/** GPU memory of a run, before it is started. */
import type { RunConfig, RunConfigKey } from '../core/config';
import type { RunRequest } from './data';
import type { JobKind } from './jobs';

/** Bytes of GPU memory by what they hold. */
export interface MemoryReport {
  totalBytes: number;
  bytes: Record<string, number>;
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

export type PlanJobs = {
  'plan.run': JobKind<RunRequest, PlanReport>;
  /** The least change that makes the run fit. @throws `out-of-memory` where nothing does, with what is left to do. */
  'plan.fit': JobKind<{ run: RunRequest; budgetBytes: number }, FitReport>;
};
