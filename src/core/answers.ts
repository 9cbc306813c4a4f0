/** What models were asked and what they answered: plain data that storage keeps and the page shows. */

/** Which model answers. */
export type Voice = 'base' | 'tuned';

export interface ChatReply {
  text: string;
  promptTokens: number;
  newTokens: number;
  tokensPerSecond: number;
  /** Tokens that prompt and answer may have together. */
  contextLimit?: number;
  finish: 'end-of-turn' | 'length' | 'stop-text';
}

/** `cut-off`: the page was closed, or its tab died, while it was being written. */
export type AnswerState = 'waiting' | 'writing' | 'done' | 'stopped' | 'failed' | 'cut-off';

export interface Answer {
  text: string;
  state: AnswerState;
  reply?: ChatReply;
}

/** A question with the answers to it. */
export interface Turn {
  question: string;
  /** The step after which a run that is not over was asked. */
  step?: number;
  base?: Answer;
  tuned?: Answer;
}

/** What a conversation is held with, beside what is said in it. */
export type ChatHead = Pick<KeptChat, 'system' | 'asksAlone'>;

export interface KeptChat {
  /** The system message of every turn; empty where there is none. */
  system: string;
  /** Whether each question is asked by itself; absent where nobody has said so, and the run's data do. */
  asksAlone?: boolean;
  turns: Turn[];
}

export interface Score {
  exactMatch: boolean;
  /** Token F1, 0 to 1. */
  f1: number;
}

/** A question of a run's data with the answers of both models. */
export interface ComparedQuestion {
  question: string;
  /** The answer that stands in the data. */
  expected: string;
  /** Its row was held out of training. */
  heldOut: boolean;
  base?: Score & { answer: string };
  tuned?: Score & { answer: string };
}

/** What a run answered of its own data; not all of it where asking was stopped. */
export interface KeptEvaluation {
  /** Questions that were to be asked. */
  total: number;
  /** Steps that the run had learned by then. */
  step: number;
  rows: ComparedQuestion[];
}

/** Names the conversation with a run. */
export function chatOfRun(runId: string): string {
  return `run/${runId}`;
}

/** Names what a run answered beside another one, where one question was put to both. */
export function answersBeside(runId: string, otherId: string): string {
  return `beside/${runId}/${otherId}`;
}

/** The run that a conversation is with; undefined where it is with a base model, or with two runs. */
export function runOfChat(chat: string): string | undefined {
  return chat.startsWith('run/') ? chat.slice('run/'.length) : undefined;
}
