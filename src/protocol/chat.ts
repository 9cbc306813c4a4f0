/** Answers to a conversation, streamed. */
import type { Message } from '../core/text';
import type { JobKind } from './jobs';
import type { ModelRef, StorageSettings } from './models';

/** Which model answers. */
export type Voice = 'base' | 'tuned';

export interface ChatRequest {
  model: ModelRef;
  /** The run to talk to; null where there is only a base model. */
  runId: string | null;
  /** How the base model's weights are kept where there is no run to say so. */
  storage: StorageSettings;
  voice: Voice;
  messages: Message[];
  maxNewTokens: number;
  /** 0 takes the likeliest token each time. */
  temperature: number;
  topP: number;
  /** 0 draws from all tokens. */
  minP: number;
  /** 1 changes nothing. */
  repetitionPenalty: number;
  seed: number;
  /** The answer ends before the first of these texts. */
  stop: string[];
}

export interface ChatReply {
  text: string;
  promptTokens: number;
  newTokens: number;
  tokensPerSecond: number;
  finish: 'end-of-turn' | 'length' | 'stop-text';
}

export type ChatJobs = {
  'chat.answer': JobKind<ChatRequest, ChatReply, { readonly kind: 'text'; readonly piece: string }>;
};
