/** Weights kept between sessions, over any backend. */
export type { CacheBackend, EntryUse, Shard } from './backend';
export { ShardedWeightCache } from './cache';
export { isEntry, type CacheEntry } from './entry';
