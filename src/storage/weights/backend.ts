/** What keeps the bytes of kept weights: a browser's database, or a folder. */
import type { CacheEntry } from './entry';

export interface Shard {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Many may `read` an entry, while one may `write` to it. Nobody reads it while one has it to `delete`. */
export type EntryUse = 'read' | 'write' | 'delete';

/** All methods throw `storage` in plain words. */
export interface CacheBackend {
  entries(): Promise<CacheEntry[]>;
  entry(id: string): Promise<CacheEntry | undefined>;
  /**
   * Replaces an entry by what `change` makes of it, and adds a shard: both are durable afterwards, or neither counts.
   * Returns the new entry. Backends need not keep two updates apart: who calls it holds the entry's `write` lock.
   */
  update(id: string, change: (found: CacheEntry | undefined) => CacheEntry, shard?: Shard): Promise<CacheEntry>;
  readShard(id: string, name: string): Promise<Uint8Array | undefined>;
  removeShards(id: string, names: readonly string[]): Promise<void>;
  /** The entry with everything under its id. */
  remove(id: string): Promise<void>;
  /** Every shard there is, whether an entry tells of it or not. */
  shards(): Promise<{ readonly id: string; readonly name: string }[]>;
  /** Resolves with what lets go of the lock, or undefined where it is taken. */
  lock(id: string, use: EntryUse): Promise<(() => void) | undefined>;
  /** Whether a write failed for want of room. */
  isFull(error: unknown): boolean;
}
