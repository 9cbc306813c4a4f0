/** How well the base model and the tuned one answer the questions of a run's data. */
import type { Voice } from './chat';
import type { JobKind } from './jobs';
import type { ModelRef } from './models';

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

/** A question with one of its two greedy answers; the other voice's arrives after it. */
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

export type EvaluationJobs = {
  'evaluation.compare': JobKind<CompareRequest, CompareSummary, { readonly kind: 'row'; readonly row: CompareRow }>;
};
