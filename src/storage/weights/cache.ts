/** Kept weights over any backend: shards that are checked when they are read, one writer an entry, eviction by use. */
import { errorCode, GraftError } from '../../core/errors';
import type { CacheKey, CachedWeights, CacheListing, ManagedCache } from '../../core/weight-cache';
import type { CacheBackend } from './backend';
import { Entries } from './entries';
import { entryBytes, entryId, unusedShards, type CacheEntry } from './entry';
import { OpenEntry } from './open-entry';

export class ShardedWeightCache implements ManagedCache {
  private readonly entries: Entries;

  /** Both sizes are smaller in tests. */
  constructor(
    private readonly backend: CacheBackend,
    private readonly shardBytes?: number,
    private readonly sourceBytes?: number,
  ) {
    this.entries = new Entries(backend);
  }

  async open(key: CacheKey): Promise<CachedWeights> {
    const { backend } = this;
    const id = await entryId(key);
    const letGoRead = await backend.lock(id, 'read');
    const letGoWrite = letGoRead && (await backend.lock(id, 'write'));
    const letGo = () => {
      letGoWrite?.();
      letGoRead?.();
    };
    try {
      const read = await this.entries.read(id);
      const isDamaged = read === 'damaged';
      if (isDamaged && letGoWrite) await this.forget(id);
      const entry = read === undefined || read === 'damaged' ? undefined : { ...read, usedAt: Date.now() };
      if (entry && letGoWrite) await this.markUsed(entry);
      const fresh = { ...key, id, complete: false, pinned: false, usedAt: Date.now() };
      const empty: CacheEntry = { ...fresh, files: [], shards: [], parameters: [] };
      const makeRoom = () => this.evict(id);
      const options = { isDamaged, writable: letGoWrite !== undefined, makeRoom, letGo };
      return new OpenEntry(backend, entry ?? empty, options, this.shardBytes, this.sourceBytes);
    } catch (error) {
      letGo();
      throw error;
    }
  }

  async list(): Promise<CacheListing[]> {
    const entries = await this.entries.list();
    return entries
      .map((entry) => {
        const { id, model, storage, complete, pinned, usedAt } = entry;
        return { id, model, storage, bytes: entryBytes(entry), complete, pinned, usedAt };
      })
      .sort((a, b) => b.usedAt - a.usedAt);
  }

  async pin(id: string, pinned: boolean): Promise<void> {
    const letGo = await this.backend.lock(id, 'write');
    if (!letGo) throw inUse();
    try {
      const entry = await this.entries.read(id);
      if (entry === undefined || entry === 'damaged') {
        throw new GraftError('not-found', 'These weights are not kept any more: load the model again to keep them.');
      }
      await this.entries.update(id, () => ({ ...entry, pinned }));
    } finally {
      letGo();
    }
  }

  async delete(id: string): Promise<void> {
    if (!(await this.tryDelete(id))) throw inUse();
  }

  /** A damaged row stays, without its shards: whoever opens its model is told. */
  async sweep(): Promise<void> {
    const shards = await this.backend.shards();
    for (const id of new Set(shards.map((shard) => shard.id))) {
      await this.locked(id, async () => {
        const found = await this.entries.read(id);
        const entry = found === 'damaged' ? undefined : found;
        const used = new Set(entry?.shards.map(({ name }) => name));
        const unused = new Set(entry && unusedShards(entry));
        const orphans = shards.filter((shard) => shard.id === id && (!used.has(shard.name) || unused.has(shard.name)));
        if (entry && unused.size > 0) {
          const shards = entry.shards.filter(({ name }) => !unused.has(name));
          await this.entries.update(id, () => ({ ...entry, shards }));
        }
        const names = orphans.map(({ name }) => name);
        if (names.length > 0) await this.backend.removeShards(id, names);
      });
    }
  }

  /** A disk that is full, or can't be written, keeps the earlier time. */
  private async markUsed(entry: CacheEntry): Promise<void> {
    try {
      await this.entries.update(entry.id, () => entry);
    } catch (error) {
      if (errorCode(error) !== 'storage') throw error;
    }
  }

  /** A disk that can't be written keeps what is damaged: what is put next says what is wrong with it. */
  private async forget(id: string): Promise<void> {
    try {
      await this.backend.remove(id);
    } catch (error) {
      if (errorCode(error) !== 'storage') throw error;
    }
  }

  /**
   * Deletes what is damaged, then the entry that was not used for longest, and is neither pinned, in use, nor the one that
   * needs room.
   */
  private async evict(needy: string): Promise<boolean> {
    const old = (await this.list()).filter(({ pinned }) => !pinned).map(({ id }) => id);
    for (const id of [...(await this.entries.damaged()), ...old.reverse()]) {
      if (id === needy) continue;
      if (await this.tryDelete(id)) return true;
    }
    return false;
  }

  private tryDelete(id: string): Promise<boolean> {
    return this.locked(id, () => this.backend.remove(id));
  }

  /** Whether nobody else used the entry, and `action` was done. */
  private async locked(id: string, action: () => Promise<void>): Promise<boolean> {
    const letGoRead = await this.backend.lock(id, 'delete');
    const letGoWrite = letGoRead && (await this.backend.lock(id, 'write'));
    try {
      if (!letGoRead || !letGoWrite) return false;
      await action();
      return true;
    } finally {
      letGoWrite?.();
      letGoRead?.();
    }
  }
}

function inUse(): GraftError {
  return new GraftError(
    'storage',
    'These weights are being loaded right now, here or in another tab: wait for that, or stop it.',
  );
}
