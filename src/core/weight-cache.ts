/**
 * What is kept of models between sessions: leaves as the GPU held them, so that a second load reads 4-bit weights and
 * asks nobody for the original, and what opening a model read, so that it opens without a connection. Recipes see these
 * interfaces; `src/storage` implements them over a browser's database and over folders.
 */
import type { FileProgress, StoredSlice } from './weights';

/** One model (repository and commit, or a folder's fingerprint) as stored in one way (types of weights). */
export interface CacheKey {
  readonly model: string;
  /** From `weightStorageKey`: which types the leaves have. */
  readonly storage: string;
}

/** A parameter to keep. */
export interface KeptParameter {
  readonly name: string;
  /** Its lines of the model's digest, one a slice: they tell the digest of the model without its original bytes. */
  readonly origin: readonly string[];
  readonly leaves: AsyncIterable<StoredSlice>;
}

export interface WeightCache {
  /** What is there under the key. Close it: it holds locks. */
  open(key: CacheKey): Promise<CachedWeights>;
}

export interface CachedWeights {
  /** Every file was verified, and every parameter kept. */
  readonly complete: boolean;
  /** Something of what was kept was not what was written, and is forgotten: the index, or a shard that `read` has met. */
  readonly isDamaged: boolean;
  /** False where another tab or process is filling the entry: this one may read what is there. */
  readonly writable: boolean;
  /** Progress through the weight files, in the order in which they are read. */
  readonly files: readonly FileProgress[];
  /** The parameters held, in the order in which they were put. What `read` finds damaged is held no more. */
  readonly names: readonly string[];
  /** The digest lines of a parameter that was ever held. */
  origin(name: string): readonly string[];
  /**
   * The leaves held, their bytes checked against their SHA-256. A damaged shard is dropped with its parameters: some
   * of their leaves may have been given by then.
   */
  read(): AsyncIterable<StoredSlice>;
  /**
   * Adds a parameter, and where its file then stands. What is put becomes durable shard by shard (at most 64 MiB).
   * @throws `storage` where there is no room; what was durable before stays.
   */
  put(parameter: KeptParameter, progress?: FileProgress): Promise<void>;
  /** Everything is loaded and verified: from now on the weights are complete. */
  finish(): Promise<void>;
  /** Forgets everything under the key (a file was not what it should be). */
  discard(): Promise<void>;
  /** Forgets what was put since it was opened (a transfer brought something else). Nothing can be put afterwards. */
  revert(): Promise<void>;
  /** Lets go of the entry. What was put and is not durable is lost. */
  close(): Promise<void>;
}

/** An entry of the cache, for lists. */
export interface CacheListing {
  readonly id: string;
  readonly model: string;
  readonly storage: string;
  readonly bytes: number;
  readonly complete: boolean;
  readonly pinned: boolean;
  /** Milliseconds since 1970. */
  readonly usedAt: number;
}

/** The cache as its owner sees it. */
export interface ManagedCache extends WeightCache {
  /** Most recently used first. */
  list(): Promise<CacheListing[]>;
  /** Entries that are pinned are never evicted to make room. */
  pin(id: string, pinned: boolean): Promise<void>;
  /** @throws `storage` where another tab or process is using it. */
  delete(id: string): Promise<void>;
  /** Deletes what writers left that were cut off. */
  sweep(): Promise<void>;
}

/** Everything that opening a model read from its source. */
export interface ModelOpening {
  readonly files?: readonly string[];
  readonly sizes: readonly { readonly file: string; readonly size: number | undefined }[];
  readonly reads: readonly {
    readonly file: string;
    readonly start: number;
    /** Absent where the file was read to its end. */
    readonly end?: number;
    readonly bytes: Uint8Array;
  }[];
  /** SHA-256 of files, where the source told them. */
  readonly hashes: readonly { readonly file: string; readonly sha256: string | undefined }[];
}

/** What a repository's revision was when it was last asked for. */
export interface KnownRevision {
  readonly commit: string;
  /** Milliseconds since 1970. */
  readonly seenAt: number;
}

/** What lets models open without a connection. */
export interface OpeningCache {
  opening(model: string): Promise<ModelOpening | undefined>;
  keepOpening(model: string, opening: ModelOpening): Promise<void>;
  /** What was read turned out to be damaged. */
  forgetOpening(model: string): Promise<void>;
  /** `repository` is an endpoint and a name, `revision` a branch or tag. */
  revision(repository: string, revision: string): Promise<KnownRevision | undefined>;
  keepRevision(repository: string, revision: string, known: KnownRevision): Promise<void>;
}
