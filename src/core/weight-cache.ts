/**
 * What is kept of a model's weights between sessions: the leaves as the GPU held them, so that a second load reads 4-bit
 * weights and asks nobody for the original. Recipes see this interface; IndexedDB and folders implement it.
 */
import type { StoredTensor } from './weights';

/** One model (repository and commit, or a folder's fingerprint) as stored in one way (types of weights). */
export interface CacheKey {
  readonly model: string;
  /** From `weightStorageKey`: which types the leaves have. */
  readonly storage: string;
}

/** How far a weight file has been kept: everything before `offset` is, and its SHA-256 up to there can go on. */
export interface FileProgress {
  readonly file: string;
  /** Byte that the next tensor to fetch begins with. */
  readonly offset: number;
  /** State of the running SHA-256 over the file's first `offset` bytes. */
  readonly hash: Uint8Array;
}

/** What a parameter was made from: lets the digest of the whole model be told without its original bytes. */
export interface KeptParameter {
  readonly name: string;
  /** Lines of the model's digest, one a slice. */
  readonly origin: readonly string[];
  readonly leaves: readonly StoredTensor[];
}

export interface WeightCache {
  /** What is there: complete where every file was verified. A damaged shard is dropped, and counts as absent. */
  open(key: CacheKey): Promise<CachedWeights>;
}

export interface CachedWeights {
  readonly complete: boolean;
  /** Progress through the weight files, in the order in which they are read. */
  readonly files: readonly FileProgress[];
  /** Names of the parameters held, in the order in which they were put. */
  readonly names: readonly string[];
  /** The digest lines of a parameter that is held. */
  origin(name: string): readonly string[];
  /** The parameters held, their bytes checked against their SHA-256. */
  read(): AsyncIterable<KeptParameter>;
  /**
   * Adds a parameter and where the file then stands. What is put becomes durable shard by shard (at most 64 MiB).
   * @throws `storage` where there is no room; what was kept before stays.
   */
  put(parameter: KeptParameter, progress: FileProgress): Promise<void>;
  /** All files are verified: from now on the weights are complete. */
  finish(): Promise<void>;
  /** Forgets everything under the key (a file was not what it should be). */
  discard(): Promise<void>;
}
