/** Answers to a conversation, streamed. */
import type { ChatHead, ChatReply, KeptChat, Turn, Voice } from '../core/answers';
import type { Message } from '../core/text';
import type { JobKind } from './jobs';
import type { ModelRef, StorageSettings } from './models';

export type { ChatReply, Voice };

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
  topK: number;
  /** 0 draws from all tokens. */
  minP: number;
  /** 1 changes nothing. */
  repetitionPenalty: number;
  seed: number;
  /** The answer ends before the first of these texts. */
  stop: string[];
}

/** Conversations that this browser keeps, each under a name: of a run's, `chatOfRun`. */
export interface ChatService {
  read(chat: string): Promise<KeptChat>;
  /** Keeps a turn, counted from 0, as it is now. @throws `storage` where there is no room, `not-found` where its run is gone */
  keepTurn(chat: string, index: number, turn: Turn): Promise<void>;
  keepHead(chat: string, head: ChatHead): Promise<void>;
  /** Deletes what was said. */
  clear(chat: string): Promise<void>;
}

export type ChatJobs = {
  'chat.answer': JobKind<ChatRequest, ChatReply, { readonly kind: 'text'; readonly piece: string }>;
};
