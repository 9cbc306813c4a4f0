/** How well the base model and the tuned one answer the questions of a run's data. */
import type { ComparedQuestion, KeptEvaluation, Score, Voice } from '../core/answers';
import type { JobKind } from './jobs';
import type { ModelRef } from './models';

export interface CompareRequest {
  model: ModelRef;
  runId: string;
  /** How many questions to ask of the rows that were trained, and of those held out; all where there are fewer. */
  limit: number;
  maxNewTokens: number;
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

/** What runs answered of their own data, and this browser keeps with them. */
export interface EvaluationService {
  /** Null where the run was never asked. */
  read(runId: string): Promise<KeptEvaluation | null>;
  /** Begins one in place of the one before. @throws `storage` where there is no room, `not-found` where the run is gone */
  begin(runId: string, asked: Pick<KeptEvaluation, 'total' | 'step'>): Promise<void>;
  keepRow(runId: string, index: number, row: ComparedQuestion): Promise<void>;
}

export type EvaluationJobs = {
  'evaluation.compare': JobKind<CompareRequest, CompareResult, { readonly kind: 'row'; readonly row: CompareRow }>;
};
