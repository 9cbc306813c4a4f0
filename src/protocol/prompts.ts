/** What the GPU worker asks the text worker for: questions as token ids, through a model's own template. */
import type { Message } from '../core/text';
import type { JobKind } from './jobs';
import type { ModelRef } from './models';

/** A question of a dataset with the answer that it was trained on. */
export interface TokenizedQuestion {
  question: string;
  expected: string;
  /** The prompt up to the answer. */
  ids: number[];
}

export type PromptJobs = {
  /** A conversation as the model, or the run, is asked it. */
  'prompts.chat': JobKind<{ model: ModelRef; runId: string | null; messages: Message[] }, number[]>;
  /** Questions of a run's data; those held out of training are left out. @throws `bad-data` where there is none */
  'prompts.questions': JobKind<{ model: ModelRef; runId: string; limit: number }, TokenizedQuestion[]>;
};
