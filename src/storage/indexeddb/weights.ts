/** Kept weights in the browser's database. */
import type { IDBPTransaction } from 'idb';
import { errorCode } from '../../core/errors';
import { takeLock } from '../web-lock';
import { ShardedWeightCache, type CacheBackend, type EntryRow, type EntryUse, type Shard } from '../weights';
import { guard, inTransaction, keepOpen, keysUnder, type Database, type Schema } from './database';

/** `shardBytes`: smaller in tests. */
export function browserWeightCache(database: Database, shardBytes?: number): ShardedWeightCache {
  return new ShardedWeightCache(new DatabaseBackend(database), shardBytes);
}

type WeightTransaction = IDBPTransaction<Schema, ('weights' | 'weightShards')[], 'readwrite'>;

class DatabaseBackend implements CacheBackend {
  constructor(private readonly database: Database) {}

  async ids(): Promise<string[]> {
    const keys = await guard('list the kept weights', () => this.database.getAllKeys('weights'));
    return keys.filter((key) => typeof key === 'string');
  }

  row(id: string): Promise<unknown> {
    return guard('read the kept weights', () => this.database.get('weights', id));
  }

  /** Shard and row in one transaction: a crash leaves both or neither. */
  async put(row: EntryRow, shard?: Shard): Promise<void> {
    const write = async (transaction: WeightTransaction) => {
      if (shard) {
        const bytes = shard.bytes as Uint8Array<ArrayBuffer>;
        await transaction.objectStore('weightShards').put(bytes, [row.id, shard.name]);
      }
      await transaction.objectStore('weights').put(row);
    };
    await guard('keep the weights of the model', () =>
      inTransaction(this.database, ['weights', 'weightShards'], write, { durability: 'strict' }),
    );
  }

  readShard(id: string, name: string): Promise<Uint8Array | undefined> {
    return guard('read the kept weights', () => this.database.get('weightShards', [id, name]));
  }

  async removeShards(id: string, names: readonly string[]): Promise<void> {
    await guard('delete kept weights', () =>
      inTransaction(this.database, ['weightShards'], (transaction) =>
        Promise.all(names.map((name) => transaction.objectStore('weightShards').delete([id, name]))),
      ),
    );
  }

  async remove(id: string): Promise<void> {
    await guard('delete kept weights', () =>
      inTransaction(this.database, ['weights', 'weightShards'], (transaction) =>
        Promise.all([
          transaction.objectStore('weights').delete(id),
          transaction.objectStore('weightShards').delete(keysUnder(id)),
        ]),
      ),
    );
  }

  async shards(): Promise<{ id: string; name: string }[]> {
    const keys = await guard('list the kept weights', () => this.database.getAllKeys('weightShards'));
    return keys.map(([id, name]) => ({ id, name }));
  }

  /** Whoever holds one keeps the database: a newer page in another tab waits. */
  async lock(id: string, use: EntryUse): Promise<(() => void) | undefined> {
    const name = `graft:weights:${id}.${use === 'write' ? 'write' : 'read'}`;
    const letGo = await takeLock(name, use === 'read' ? 'shared' : 'exclusive');
    if (!letGo) return undefined;
    const close = keepOpen(this.database);
    return () => {
      letGo();
      close();
    };
  }

  isFull(error: unknown): boolean {
    const cause = (error as { cause?: unknown } | null)?.cause;
    return errorCode(error) === 'storage' && (cause as { name?: unknown } | null)?.name === 'QuotaExceededError';
  }
}
