/** Kept weights in the browser's database. */
import { errorCode } from '../../core/errors';
import { takeLock } from '../web-lock';
import { ShardedWeightCache, type CacheBackend, type CacheEntry, type EntryUse, type Shard } from '../weights';
import { guard, keysUnder, type Database } from './database';

/** `shardBytes`: smaller in tests. */
export function browserWeightCache(database: Database, shardBytes?: number): ShardedWeightCache {
  return new ShardedWeightCache(new DatabaseBackend(database), shardBytes);
}

class DatabaseBackend implements CacheBackend {
  constructor(private readonly database: Database) {}

  entries(): Promise<CacheEntry[]> {
    return guard('list the kept weights', () => this.database.getAll('weights'));
  }

  entry(id: string): Promise<CacheEntry | undefined> {
    return guard('read the kept weights', () => this.database.get('weights', id));
  }

  /** Shard and entry in one transaction: a crash leaves both or neither. */
  update(id: string, change: (found: CacheEntry | undefined) => CacheEntry, shard?: Shard): Promise<CacheEntry> {
    return guard('keep the weights of the model', async () => {
      const transaction = this.database.transaction(['weights', 'weightShards'], 'readwrite', { durability: 'strict' });
      const settled = transaction.done;
      settled.catch(() => undefined); // awaited below; a failed request rejects first
      const entry = change(await transaction.objectStore('weights').get(id));
      if (shard) {
        const bytes = shard.bytes as Uint8Array<ArrayBuffer>;
        await transaction.objectStore('weightShards').put(bytes, [id, shard.name]);
      }
      await transaction.objectStore('weights').put(entry);
      await settled;
      return entry;
    });
  }

  readShard(id: string, name: string): Promise<Uint8Array | undefined> {
    return guard('read the kept weights', () => this.database.get('weightShards', [id, name]));
  }

  async removeShards(id: string, names: readonly string[]): Promise<void> {
    await guard('delete kept weights', async () => {
      const transaction = this.database.transaction('weightShards', 'readwrite');
      await Promise.all([...names.map((name) => transaction.store.delete([id, name])), transaction.done]);
    });
  }

  async remove(id: string): Promise<void> {
    await guard('delete kept weights', async () => {
      const transaction = this.database.transaction(['weights', 'weightShards'], 'readwrite');
      await Promise.all([
        transaction.objectStore('weights').delete(id),
        transaction.objectStore('weightShards').delete(keysUnder(id)),
        transaction.done,
      ]);
    });
  }

  async shards(): Promise<{ id: string; name: string }[]> {
    const keys = await guard('list the kept weights', () => this.database.getAllKeys('weightShards'));
    return keys.map(([id, name]) => ({ id, name }));
  }

  lock(id: string, use: EntryUse): Promise<(() => void) | undefined> {
    const name = `graft:weights:${id}.${use === 'write' ? 'write' : 'read'}`;
    return takeLock(name, use === 'read' ? 'shared' : 'exclusive');
  }

  isFull(error: unknown): boolean {
    const cause = (error as { cause?: unknown } | null)?.cause;
    return errorCode(error) === 'storage' && (cause as { name?: unknown } | null)?.name === 'QuotaExceededError';
  }
}
