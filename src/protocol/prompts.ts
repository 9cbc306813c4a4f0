/** What the GPU worker asks the text worker for: questions as token ids, through a model's own template. */
import type { Message } from '../core/text';
import type { JobKind } from './jobs';
import type { ModelRef } from './models';

/** A question of a run's dataset with the answer that stands there. */
export interface TokenizedQuestion {
  question: string;
  expected: string;
  /** Its row was held out of training. */
  heldOut: boolean;
  /** The prompt up to the answer. */
  ids: number[];
}

export type PromptJobs = {
  /** A conversation as the model, or the run, is asked it. */
  'prompts.chat': JobKind<{ model: ModelRef; runId: string | null; messages: Message[] }, number[]>;
  /**
   * Questions of a run's data, first of the rows that it held out, then of those that it trained: of each at most `limit`.
   * @throws `bad-data` where there is none
   */
  'prompts.questions': JobKind<{ model: ModelRef; runId: string; limit: number }, TokenizedQuestion[]>;
};
