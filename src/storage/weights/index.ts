/** Weights kept between sessions, over any backend. */
export type { CacheBackend, EntryRow, EntryUse, Shard } from './backend';
export { ShardedWeightCache } from './cache';
export type { CacheEntry } from './entry';
