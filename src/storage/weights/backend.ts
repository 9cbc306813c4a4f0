/** What keeps the bytes of kept weights: a browser's database, or a folder. */
import type { Sealed } from '../sealed';
import type { CacheEntry } from './entry';

export interface Shard {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Many may `read` an entry, while one may `write` to it. Nobody reads it while one has it to `delete`. */
export type EntryUse = 'read' | 'write' | 'delete';

/** An entry as it is written down: under its id, with a hash over itself. */
export interface EntryRow extends Sealed<CacheEntry> {
  readonly id: string;
}

/** All methods throw `storage` in plain words. What was read may be anything: `entries.ts` holds it against its hash. */
export interface CacheBackend {
  /** The ids of all rows, damaged ones too. */
  ids(): Promise<string[]>;
  /** The row under the id as it was found, or undefined where there is none. */
  row(id: string): Promise<unknown>;
  /**
   * Replaces a row and adds a shard: both are durable afterwards, or neither counts. Who calls it holds the entry's
   * `write` lock.
   */
  put(row: EntryRow, shard?: Shard): Promise<void>;
  readShard(id: string, name: string): Promise<Uint8Array | undefined>;
  removeShards(id: string, names: readonly string[]): Promise<void>;
  /** The row with everything under its id. */
  remove(id: string): Promise<void>;
  /** Every shard there is, whether an entry tells of it or not. */
  shards(): Promise<{ readonly id: string; readonly name: string }[]>;
  /** Resolves with what lets go of the lock, or undefined where it is taken. */
  lock(id: string, use: EntryUse): Promise<(() => void) | undefined>;
  /** Whether a write failed for want of room. */
  isFull(error: unknown): boolean;
}
