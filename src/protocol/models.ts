/** Models: opening one, and what this browser keeps of them. */
import type { RunConfig } from '../core/config';
import type { KeptModel } from '../core/library';
import type { HubRef } from './hub';
import type { JobKind } from './jobs';

/** A folder that the user opened. */
export interface FilesRef {
  kind: 'files';
  id: string;
  name: string;
  files: File[];
}

export type ModelRef =
  { kind: 'builtin'; name: string } | { kind: 'kept'; id: string; name: string } | HubRef | FilesRef;

export interface ModelReport {
  /** How to ask for the same model again: of a model on the Hub, at one commit. */
  ref: ModelRef;
  name: string;
  family: string;
  parameters: number;
  layers: number;
  hiddenSize: number;
  vocabSize: number;
  maxPositions: number;
  /** How most of its weights are stored, and their bytes. */
  weightDType: string;
  weightBytes: number;
  /** The largest weight that is held in one piece, against the largest buffer of the device. */
  largestWeight: { name: string; bytes: number };
  /** Where the chat template comes from; null without a tokenizer. */
  templateSource: string | null;
  /** What was found in its files that isn't as it should be and was read all the same, a sentence each. */
  notices: string[];
}

/** Settings of a run that say how base weights are kept. */
export type StorageSettings = Pick<
  RunConfig,
  'dtype' | 'load_in_4bit' | 'use_bnb_nested_quant' | 'embedding_dtype' | 'use_peft'
>;

/** Weights of a model on the Hub that this browser keeps, as the GPU holds them. */
export interface KeptWeights {
  id: string;
  model: HubRef;
  /** In which types: equal to `PlanReport.storage` where a run can use them. */
  storage: string;
  bytes: number;
  /** All of them are here; otherwise loading goes on where it stopped. */
  complete: boolean;
  /** Never deleted to make room for others. */
  pinned: boolean;
  /** Milliseconds since 1970. */
  usedAt: number;
}

/** Copies of the user's models, and weights of the Hub's. */
export interface ModelsService {
  list(): Promise<KeptModel[]>;
  /** @throws `storage` while an answer comes from it, or another tab uses it. */
  delete(id: string): Promise<void>;
  /** Most recently used first. */
  listWeights(): Promise<KeptWeights[]>;
  pinWeights(id: string, pinned: boolean): Promise<void>;
  /** @throws `storage` while they are being loaded or used, here or in another tab. */
  deleteWeights(id: string): Promise<void>;
}

/** In the text worker. */
export type OpeningJobs = {
  /** Reads configuration, tokenizer and the headers of weight files, but no weights. */
  'models.open': JobKind<{ ref: ModelRef }, ModelReport>;
};

/** In the GPU worker. */
export type ModelJobs = {
  /** Copies a folder that the user opened into this browser; gives how to ask for the copy. @throws `storage` */
  'models.keep': JobKind<{ ref: FilesRef }, ModelRef>;
  /**
   * Fetches the weights of a model on the Hub, quantises them on the GPU, and keeps the result, in the types that a
   * run with these settings has. What could not be kept is a notice.
   */
  'models.fetch': JobKind<{ ref: HubRef; storage: StorageSettings }, null>;
};
