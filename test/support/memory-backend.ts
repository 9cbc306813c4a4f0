import { GraftError } from '../../src/core/errors';
import type { CacheBackend, CacheEntry, EntryRow, EntryUse, Shard } from '../../src/storage/weights';
import { seal } from '../../src/storage/sealed';

/** Kept weights in memory, with as much room as it is given. */
export class MemoryBackend implements CacheBackend {
  readonly held = new Map<string, EntryRow>();
  readonly bytes = new Map<string, Uint8Array>();
  private readonly locks = new Map<string, number>();

  constructor(public room = Infinity) {}

  ids(): Promise<string[]> {
    return Promise.resolve([...this.held.keys()]);
  }

  row(id: string): Promise<unknown> {
    return Promise.resolve(this.held.get(id));
  }

  async put(row: EntryRow, shard?: Shard): Promise<void> {
    const used = [...this.bytes.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
    if (shard && used + shard.bytes.byteLength > this.room) throw new GraftError('storage', 'There is no room left.');
    this.held.set(row.id, structuredClone(row));
    if (shard) this.bytes.set(`${row.id}/${shard.name}`, shard.bytes.slice());
  }

  /** The entries held, as a cache has written them. */
  entries(): CacheEntry[] {
    return [...this.held.values()].map(({ value }) => value);
  }

  /** Writes an entry as a cache would, with a hash that is right. */
  async replace(entry: CacheEntry): Promise<void> {
    this.held.set(entry.id, { id: entry.id, ...(await seal(entry)) });
  }

  readShard(id: string, name: string): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.bytes.get(`${id}/${name}`));
  }

  async removeShards(id: string, names: readonly string[]): Promise<void> {
    for (const name of names) this.bytes.delete(`${id}/${name}`);
  }

  async remove(id: string): Promise<void> {
    this.held.delete(id);
    for (const key of this.bytes.keys()) if (key.startsWith(`${id}/`)) this.bytes.delete(key);
  }

  shards(): Promise<{ id: string; name: string }[]> {
    return Promise.resolve(
      [...this.bytes.keys()].map((key) => {
        const [id, name] = key.split('/') as [string, string];
        return { id, name };
      }),
    );
  }

  /** -1 is held alone, above 0 so many share it. */
  lock(id: string, use: EntryUse): Promise<(() => void) | undefined> {
    const name = `${id}.${use === 'write' ? 'write' : 'read'}`;
    const alone = use !== 'read';
    const now = this.locks.get(name) ?? 0;
    if (now < 0 || (now > 0 && alone)) return Promise.resolve(undefined);
    this.locks.set(name, alone ? -1 : now + 1);
    return Promise.resolve(() => void this.locks.set(name, alone ? 0 : this.locks.get(name)! - 1));
  }

  isFull(error: unknown): boolean {
    return error instanceof GraftError && error.message.includes('no room');
  }
}
