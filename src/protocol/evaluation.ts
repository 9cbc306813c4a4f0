/** How well the base model and the tuned one answer the questions of a run's data. */
import type { Voice } from './chat';
import type { JobKind } from './jobs';
import type { ModelRef } from './models';

export interface CompareRequest {
  model: ModelRef;
  runId: string;
  /** How many questions to ask of the rows that were trained, and of those held out; all where there are fewer. */
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
  /** Its row was held out of training. */
  heldOut: boolean;
  voice: Voice;
  answer: string;
  score: Score;
}

export interface CompareResult {
  /** Questions that both have answered. */
  questions: number;
}

export type EvaluationJobs = {
  'evaluation.compare': JobKind<CompareRequest, CompareResult, { readonly kind: 'row'; readonly row: CompareRow }>;
};
