/** Questions as token ids, through a model's own template, and what a model says of how it is asked. */
import type { Message } from '../core/text';
import type { JobKind } from './jobs';
import type { ModelRef, StorageSettings } from './models';

/** A question of a run's dataset with the answer that stands there. */
export interface TokenizedQuestion {
  question: string;
  expected: string;
  /** Its row was held out of training. */
  heldOut: boolean;
  /** The prompt up to the answer. */
  ids: number[];
}

/** How a model's generation_config.json has answers drawn; absent where it has no opinion. */
export interface SamplingHints {
  temperature?: number;
  topP?: number;
  topK?: number;
  minP?: number;
  repetitionPenalty?: number;
  maxNewTokens?: number;
}

/** What a conversation can be, before it begins. */
export interface ChatFacts {
  sampling: SamplingHints;
  /** Whether the chat template shows a system message. */
  takesSystem: boolean;
  /** Tokens that the model can read. */
  contextLength: number;
  /** GPU memory of a conversation with few tokens, and with as many as the model can read. */
  memory: { tokens: number; bytes: number }[];
  /** A question of the run's data. */
  example: string | null;
  /** Whether the run was taught answers to questions alone, and none to a question that follows on another. */
  asksAlone: boolean;
}

export type PromptJobs = {
  'prompts.facts': JobKind<{ model: ModelRef; runId: string | null; storage: StorageSettings }, ChatFacts>;
  /** A conversation as the model, or the run, is asked it. */
  'prompts.chat': JobKind<{ model: ModelRef; runId: string | null; messages: Message[] }, number[]>;
  /**
   * Questions of a run's data, first of the rows that it held out, then of those that it trained: of each at most `limit`.
   * @throws `bad-data` where there is none
   */
  'prompts.questions': JobKind<{ model: ModelRef; runId: string; limit: number }, TokenizedQuestion[]>;
};
