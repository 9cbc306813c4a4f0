/** One entry of the cache while a model loads from it and into it. */
import { errorCode } from '../../core/errors';
import type { CachedWeights, KeptParameter } from '../../core/weight-cache';
import type { FileProgress, StoredSlice } from '../../core/weights';
import { isShard } from '../shards';
import type { CacheBackend, Shard } from './backend';
import { Entries } from './entries';
import { unusedShards, withoutShards, type CacheEntry, type ShardPiece, type ShardRecord } from './entry';
import { ShardWriter } from './shard-writer';

/** Largest value of one record: a browser copies it whole, through its processes. */
const SHARD_BYTES = 32 * 2 ** 20;

/** Most bytes of whole tensors that are read again after a loader was killed. */
const SOURCE_BYTES = 64 * 2 ** 20;

export interface OpenEntryOptions {
  /** What was under the key was not what was written, and is forgotten. */
  readonly isDamaged: boolean;
  readonly writable: boolean;
  /** Deletes something else; false where there is nothing left to delete. */
  readonly makeRoom: () => Promise<boolean>;
  readonly letGo: () => void;
}

export class OpenEntry implements CachedWeights {
  readonly writable: boolean;
  private readonly writer: ShardWriter;
  /** Bytes of source files that went into the shard under way. */
  private unwritten = 0;
  /** Where files stand, durable or not. */
  private readonly latest = new Map<string, number>();
  private failed = false;
  private damageFound: boolean;
  /** As it was found, less what is damaged. */
  private found: CacheEntry;
  private readonly entries: Entries;

  constructor(
    private readonly backend: CacheBackend,
    private entry: CacheEntry,
    private readonly options: OpenEntryOptions,
    shardBytes = SHARD_BYTES,
    private readonly sourceBytes = SOURCE_BYTES,
  ) {
    this.writer = new ShardWriter(shardBytes);
    this.entries = new Entries(backend);
    this.writable = options.writable;
    this.damageFound = options.isDamaged;
    this.found = entry;
  }

  get isDamaged(): boolean {
    return this.damageFound;
  }

  get complete(): boolean {
    return this.entry.complete;
  }

  get files(): readonly FileProgress[] {
    return this.entry.files;
  }

  get names(): readonly string[] {
    return this.entry.parameters.filter(({ shards }) => shards.length > 0).map(({ name }) => name);
  }

  origin(name: string): readonly string[] {
    return this.entry.parameters.find((parameter) => parameter.name === name)?.origin ?? [];
  }

  async *read(): AsyncGenerator<StoredSlice> {
    const places = new Map(this.entry.parameters.map(({ name, shards }) => [name, shards]));
    const damaged = new Set<string>();
    for (const record of this.entry.shards) {
      const holds = ({ parameter }: ShardPiece) => places.get(parameter)?.includes(record.name);
      if (!record.pieces.some(holds)) continue;
      const bytes = await this.readShard(record);
      if (!bytes) {
        damaged.add(record.name);
        for (const { parameter } of record.pieces.filter(holds)) places.delete(parameter);
        continue;
      }
      let from = 0;
      for (const piece of record.pieces) {
        const { name, stored, shape, start, size } = piece;
        if (holds(piece)) yield { name, stored, shape, start, bytes: bytes.subarray(from, from + size) };
        from += size;
      }
    }
    if (damaged.size > 0) await this.drop(damaged);
  }

  async put({ name, origin, leaves }: KeptParameter, progress?: FileProgress): Promise<void> {
    if (!this.writable || this.failed) return;
    for await (const slice of leaves) {
      for (let rest: StoredSlice | undefined = slice; rest;) {
        if (this.writer.isFull) await this.flush(); // not before: a parameter that ends here is durable with it
        rest = this.writer.add(name, rest);
      }
    }
    this.writer.endParameter(name, origin, progress);
    this.unwritten += progress ? progress.offset - this.standing(progress.file) : 0;
    if (progress) this.latest.set(progress.file, progress.offset);
    if (this.unwritten >= this.sourceBytes) await this.flush();
  }

  async finish(): Promise<void> {
    if (!this.writable || this.failed) return;
    await this.flush();
    const unused = unusedShards(this.entry);
    const shards = this.entry.shards.filter(({ name }) => !unused.includes(name));
    await this.write((entry) => ({ ...entry, complete: true, shards }));
    if (unused.length > 0) await this.backend.removeShards(this.entry.id, unused);
  }

  async discard(): Promise<void> {
    if (!this.writable) return;
    this.failed = true;
    await this.backend.remove(this.entry.id);
    this.entry = { ...this.entry, complete: false, files: [], shards: [], parameters: [] };
  }

  async revert(): Promise<void> {
    const { complete, files, shards, parameters } = this.found;
    if (parameters.length === 0) return this.discard();
    if (!this.writable) return;
    this.failed = true;
    const added = this.entry.shards.filter((shard) => !shards.includes(shard)).map(({ name }) => name);
    if (this.entry !== this.found) await this.write((entry) => ({ ...entry, complete, files, shards, parameters }));
    if (added.length > 0) await this.backend.removeShards(this.entry.id, added);
  }

  async close(): Promise<void> {
    try {
      if (this.writable && !this.failed) await this.flush();
    } catch (error) {
      unlessStorage(error); // what is not durable by now is loaded again
    } finally {
      this.options.letGo();
    }
  }

  private standing(file: string): number {
    return this.latest.get(file) ?? this.files.find((known) => known.file === file)?.offset ?? 0;
  }

  /** Makes what was put durable. */
  private async flush(): Promise<void> {
    this.unwritten = 0;
    const closed = await this.writer.close();
    if (!closed) return;
    await this.write((entry) => closed.apply(entry), closed.shard);
  }

  /** Changes the entry, but for what its owner says of it meanwhile. Where there is no room, older entries go first. */
  private async write(change: (entry: CacheEntry) => CacheEntry, shard?: Shard): Promise<void> {
    const { backend, entry } = this;
    const merged = (found: CacheEntry | undefined) =>
      change({ ...entry, pinned: found?.pinned ?? entry.pinned, usedAt: found?.usedAt ?? entry.usedAt });
    for (;;) {
      try {
        this.entry = await this.entries.update(entry.id, merged, shard);
        return;
      } catch (error) {
        if (backend.isFull(error) && (await this.options.makeRoom())) continue;
        this.failed = true;
        throw error;
      }
    }
  }

  /** A shard's bytes, or undefined where they can't be read or are not what was written. */
  private async readShard(record: ShardRecord): Promise<Uint8Array | undefined> {
    const bytes = await this.backend.readShard(this.entry.id, record.name).catch(unlessStorage);
    return (await isShard(bytes, record)) ? bytes : undefined;
  }

  private async drop(damaged: ReadonlySet<string>): Promise<void> {
    this.damageFound = true;
    this.entry = withoutShards(this.entry, damaged);
    this.found = this.entry;
    if (!this.writable) return;
    try {
      await this.backend.removeShards(this.entry.id, [...damaged]);
      await this.write((entry) => entry);
    } catch (error) {
      unlessStorage(error);
      this.failed = false; // the next reader finds the shards damaged, and what is put next says what is wrong
    }
  }
}

/** What the backend refuses costs what it holds, and not the load. */
function unlessStorage(error: unknown): undefined {
  if (errorCode(error) !== 'storage') throw error;
}
