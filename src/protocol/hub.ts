/** The Hub, or a mirror of it: which one is asked, and what is found there. */
import type { RunConfig } from '../core/config';
import type { PlainError } from '../core/errors';
import type { JobKind } from './jobs';

/** A model on the Hub, whose `name` is `org/name`. */
export interface HubRef {
  kind: 'hub';
  name: string;
  /** Branch, tag or commit that was asked for. */
  revision: string;
  /** What it stood for when it was first opened; null asks for what it stands for now. */
  commit: string | null;
  /** Base URL of the Hub that has it; absent for huggingface.co, and without a commit for the Hub in use. */
  endpoint?: string;
}

/** Which Hub to ask, and as whom. */
export interface HubSettings {
  /** Base URL; null is huggingface.co. */
  endpoint: string | null;
  /** All that the user gave; each is sent to its own origin and to no other. */
  secrets: { origin: string; secret: string }[];
}

/** A model before any of its files is read. */
export interface FoundModel {
  name: string;
  parameters: number | null;
  /** Of its weight files. */
  downloadBytes: number | null;
  downloads: number | null;
  licence: string | null;
  /** Its owner asks for consent first, or keeps it private: reading it takes a token. */
  restricted: 'gated' | 'private' | null;
  /** `model_type`, where the Hub says it. */
  family: string | null;
  /** Whether Graft trains that family; true where the Hub doesn't say. */
  supported: boolean;
  /** What it is good for, of a curated model. */
  note: string | null;
}

export interface HubFindings {
  /** The query was a model's whole name, perhaps as the Hub's address of it: open this one. */
  named: HubRef | null;
  models: FoundModel[];
}

/** GPU memory that training a model takes at most, planned from its config.json alone. */
export type ModelSurvey = { name: string; totalBytes: number } | { name: string; error: PlainError };

export interface HubService {
  /**
   * From now on, asks this Hub. Resolves with its base URL.
   * @throws `bad-config` for what is no address of a Hub, or a secret that is none; what was in use then stays
   */
  use(settings: HubSettings): Promise<string>;
  /**
   * Whether a Hub could be used, which changes nothing. Resolves with its base URL.
   * @param ask ask it for as little as can be: does the page's policy allow it?
   * @throws `bad-config` for what is no address of a Hub, or one that the page's policy doesn't allow
   */
  checkEndpoint(endpoint: string, ask: boolean): Promise<string>;
  /** @throws `bad-config` for what can be no token */
  checkToken(token: string): Promise<void>;
}

export type HubJobs = {
  /** Models whose name has `query` in it; an empty one gives the curated list without asking anyone. */
  'hub.find': JobKind<{ query: string }, HubFindings>;
  /** Reads each model's config.json and plans a run of `config` on it, with room for a chat or without; the answers come in any order. */
  'hub.survey': JobKind<
    { names: string[]; config: RunConfig; talk: boolean },
    null,
    { readonly kind: 'survey'; readonly survey: ModelSurvey }
  >;
};
