/** The index of kept weights: entries that are sealed when they are written and checked when they are read. */
import { seal } from '../sealed';
import type { CacheBackend, Shard } from './backend';
import { unsealEntry, type CacheEntry } from './entry';

/** What is under an id: an entry, nothing, or something that isn't what was written. */
export type FoundEntry = CacheEntry | 'damaged' | undefined;

export class Entries {
  constructor(private readonly backend: CacheBackend) {}

  async read(id: string): Promise<FoundEntry> {
    const row = await this.backend.row(id);
    if (row === undefined || row === null) return undefined;
    return (await unsealEntry(id, row)) ?? 'damaged';
  }

  /** Entries that are whole. Damaged ones can't be named: they are found when their model is opened. */
  async list(): Promise<CacheEntry[]> {
    const found = await Promise.all((await this.backend.ids()).map((id) => this.read(id)));
    return found.filter((entry) => entry !== undefined && entry !== 'damaged');
  }

  /** Ids of rows that are not what was written. */
  async damaged(): Promise<string[]> {
    const ids = await this.backend.ids();
    const found = await Promise.all(ids.map((id) => this.read(id)));
    return ids.filter((_, i) => found[i] === 'damaged');
  }

  /**
   * Replaces an entry by what `change` makes of it, and adds a shard: both are durable afterwards, or neither counts.
   * A damaged one counts as none. Who calls it holds the entry's `write` lock.
   */
  async update(id: string, change: (found: CacheEntry | undefined) => CacheEntry, shard?: Shard): Promise<CacheEntry> {
    const found = await this.read(id);
    const entry = change(found === 'damaged' ? undefined : found);
    await this.backend.put({ id, ...(await seal(entry)) }, shard);
    return entry;
  }
}
