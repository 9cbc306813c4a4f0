/** What the library of past runs says of one run: plain data that storage keeps and the page shows. */
import type { PlainError } from './errors';
import type { LogRow, RunSummary } from './events';

/**
 * `running` belongs to the tab that holds the run's lock; a run that is still `running` without one was cut off and
 * reads as `interrupted`.
 */
export type RunState = 'running' | 'finished' | 'cancelled' | 'failed' | 'interrupted';

/** Where a run's model is to be found again. */
export type StoredModel =
  | { readonly kind: 'builtin'; readonly name: string }
  /** A copy kept in this browser. */
  | { readonly kind: 'kept'; readonly id: string; readonly name: string }
  /** A model on the Hub at one commit; `endpoint` is absent for huggingface.co. */
  | {
      readonly kind: 'hub';
      readonly name: string;
      readonly revision: string;
      readonly commit: string | null;
      readonly endpoint?: string;
    }
  /** A folder of the user's disk, which only the user can open again. */
  | { readonly kind: 'folder'; readonly name: string };

export interface RunRecord {
  readonly id: string;
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly state: RunState;
  readonly model: StoredModel;
  readonly datasetName: string;
  /** Optimiser steps done and planned; 0 planned until the plan is known. */
  readonly step: number;
  readonly totalSteps: number;
  /** The last step that a checkpoint holds; 0 where there is none yet. */
  readonly checkpointStep: number;
  readonly summary: RunSummary | null;
  readonly error: PlainError | null;
}

/** Whether a run can be resumed: it began, and ended before its end. One that never began has nothing to go on from. */
export function canGoOn({ state, totalSteps }: Pick<RunRecord, 'state' | 'totalSteps'>): boolean {
  return totalSteps > 0 && (state === 'interrupted' || state === 'cancelled' || state === 'failed');
}

/** A file of a run's folder. */
export interface RunFile {
  readonly name: string;
  readonly size: number;
}

export interface RunDetail {
  readonly record: RunRecord;
  readonly log: readonly LogRow[];
  /** What the user may download: the adapter and what describes it, without checkpoints. */
  readonly files: readonly RunFile[];
  /** run.yaml as resolved. */
  readonly runFile: string;
}

/** Whether a run has left an adapter or a model. */
export function hasResult({ files }: Pick<RunDetail, 'files'>): boolean {
  return files.some(({ name }) => name.endsWith('.safetensors'));
}

/** Whether a run answers: by what it has left, or by the last checkpoint of one that was stopped. */
export function canSpeak({ record, files }: Pick<RunDetail, 'record' | 'files'>): boolean {
  if (record.state === 'running') return false;
  return hasResult({ files }) || (canGoOn(record) && record.checkpointStep > 0);
}

/** Steps that a run answers by: of one that was stopped, those of its last checkpoint. */
export function learnedSteps(record: RunRecord): number {
  return canGoOn(record) ? record.checkpointStep : record.step;
}

/** A copy of a model that the user opened from the disk. */
export interface KeptModel {
  readonly id: string;
  readonly name: string;
  readonly bytes: number;
  /** What told the folder apart on the disk: names, sizes and dates of its files. */
  readonly fingerprint: string;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
}
