/** A folder of files in the browser's database, in shards that are checked before they count as present. */
import type { IDBPTransaction } from 'idb';
import { GraftError } from '../../core/errors';
import type { FileSource, RunStore } from '../../core/store';
import { digestShard, isShard, type ShardDigest } from '../shards';
import { guard, inTransaction, keysUnder, type Database, type FileEntry, type Schema } from './database';
import { fileRow } from './rows';

/** Largest value of one database record: bigger ones are copied whole through the browser's processes. */
export const SHARD_BYTES = 64 * 2 ** 20;

type Bytes = Uint8Array<ArrayBuffer>;

const TABLES = ['files', 'shards'] as const;
type FolderTransaction = IDBPTransaction<Schema, ('files' | 'shards')[], 'readwrite'>;

const ADVICE = 'Delete it under Runs and make it again.';

/** Versions of files that this page writes: their shards belong to no file yet. */
const writing = new Set<string>();

/** Pieces as shards of a size, in one buffer that is filled again: whoever keeps a shard copies it first. */
async function* shardsOf(pieces: AsyncIterable<Uint8Array>, shardBytes: number): AsyncGenerator<Bytes> {
  let shard = new Uint8Array(0);
  let filled = 0;
  for await (const piece of pieces) {
    for (let taken = 0; taken < piece.byteLength;) {
      // Small files need no buffer of a whole shard.
      if (filled === shard.byteLength && filled < shardBytes) {
        const larger = new Uint8Array(Math.min(shardBytes, Math.max(2 * filled, piece.byteLength)));
        larger.set(shard);
        shard = larger;
      }
      const count = Math.min(piece.byteLength - taken, shard.byteLength - filled);
      shard.set(piece.subarray(taken, taken + count), filled);
      filled += count;
      taken += count;
      if (filled < shardBytes) continue;
      yield shard;
      filled = 0;
    }
  }
  if (filled > 0) yield shard.slice(0, filled);
}

export class BrowserFolder implements RunStore {
  /** Shards whose hash was right once in this session; a second read of a weight file skips the work. */
  private readonly verified = new Set<string>();
  /** The shard that was read last, and not to its end: slices of a file come one after the other. */
  private held: { readonly key: string; readonly bytes: Bytes } | undefined;

  constructor(
    private readonly database: Database,
    /** Key of the folder, `runs/<id>` or `models/<id>`. */
    private readonly folder: string,
    readonly name: string,
    private readonly shardBytes = SHARD_BYTES,
  ) {}

  async list(): Promise<string[]> {
    const keys = await guard(`list ${this.name}`, () => this.database.getAllKeys('files', keysUnder(this.folder)));
    return keys.map(([, name]) => name);
  }

  /** The files whose entries are whole. */
  async entries(): Promise<FileEntry[]> {
    const found = await guard(`list ${this.name}`, () => this.database.getAll('files', keysUnder(this.folder)));
    return found.map(fileRow).filter((entry) => entry !== undefined);
  }

  async size(file: string): Promise<number | undefined> {
    return (await this.entry(file))?.size;
  }

  async read(file: string): Promise<Bytes | undefined> {
    const entry = await this.entry(file);
    return entry && this.readRange(entry, 0, entry.size);
  }

  /** A file for a download, each shard checked: of a large one no more than a shard is in memory. */
  async blob(file: string): Promise<Blob | undefined> {
    const entry = await this.entry(file);
    if (!entry) return undefined;
    const parts: Blob[] = [];
    for (const index of entry.shards.keys()) parts.push(new Blob([await this.readShard(entry, index)]));
    this.held = undefined;
    return new Blob(parts);
  }

  /** Bytes `start` to `end` (exclusive) of a file, from the shards that hold them. */
  async readRange(entry: FileEntry, start: number, end: number): Promise<Bytes> {
    const bytes = new Uint8Array(Math.max(0, end - start));
    let shardStart = 0;
    for (const [index, { size }] of entry.shards.entries()) {
      const from = Math.max(start, shardStart);
      const to = Math.min(end, shardStart + size);
      if (from < to) {
        const shard = await this.readShard(entry, index);
        bytes.set(shard.subarray(from - shardStart, to - shardStart), from - start);
        if (to === shardStart + size) this.held = undefined;
      }
      shardStart += size;
    }
    return bytes;
  }

  /** Replaces the file: shards and entry in one transaction, so that a crash leaves the old bytes or the new ones. */
  async write(file: string, bytes: Uint8Array): Promise<void> {
    const parts: Bytes[] = [];
    for (let start = 0; start < bytes.byteLength; start += this.shardBytes) {
      parts.push(new Uint8Array(bytes.subarray(start, start + this.shardBytes)));
    }
    const shards = await Promise.all(parts.map(digestShard));
    const entry = this.newEntry(file, shards);
    const replace = async (transaction: FolderTransaction) => {
      const store = transaction.objectStore('shards');
      const version = await this.versionOf(file, transaction);
      for (const [index, part] of parts.entries()) await store.put(part, [this.folder, entry.version, index]);
      await transaction.objectStore('files').put(entry);
      if (version !== undefined) await store.delete(keysUnder(this.folder, version));
    };
    await guard(`save ${file} of ${this.name}`, () =>
      inTransaction(this.database, [...TABLES], replace, { durability: 'strict' }),
    );
  }

  async readAt(file: string, start: number, end: number): Promise<Bytes> {
    const entry = await this.entry(file);
    if (!entry) throw new GraftError('not-found', `${this.name} has no file ${file}.`);
    return this.readRange(entry, start, end);
  }

  /** Replaces the file, a shard in memory at a time: the old one is there until the last shard of the new one is. */
  async writePieces(file: string, pieces: AsyncIterable<Uint8Array>): Promise<void> {
    await this.removeAbandoned();
    const version = crypto.randomUUID();
    writing.add(version);
    try {
      const shards: ShardDigest[] = [];
      const keep = async (part: Bytes) => {
        const key: [string, string, number] = [this.folder, version, shards.length];
        shards.push(await digestShard(part));
        await guard(`save ${file} of ${this.name}`, () => this.database.put('shards', part, key));
      };
      for await (const part of shardsOf(pieces, this.shardBytes)) await keep(part);
      const replace = async (transaction: FolderTransaction) => {
        const before = await this.versionOf(file, transaction);
        await transaction.objectStore('files').put({ ...this.newEntry(file, shards), version });
        if (before !== undefined) await transaction.objectStore('shards').delete(keysUnder(this.folder, before));
      };
      await guard(`save ${file} of ${this.name}`, () =>
        inTransaction(this.database, [...TABLES], replace, { durability: 'strict' }),
      );
    } catch (error) {
      await this.database.delete('shards', keysUnder(this.folder, version)).catch(() => undefined);
      throw error;
    } finally {
      writing.delete(version);
    }
  }

  /** Deletes shards of writes that were cut off: they belong to no file, and nobody would ever find them. */
  private async removeAbandoned(): Promise<void> {
    await guard(`save files of ${this.name}`, () =>
      inTransaction(this.database, [...TABLES], async (transaction) => {
        const entries = await transaction.objectStore('files').getAll(keysUnder(this.folder));
        const known = new Set<unknown>(entries.map((entry) => (entry as Partial<FileEntry> | undefined)?.version));
        const keys = await transaction.objectStore('shards').getAllKeys(keysUnder(this.folder));
        for (const key of keys) {
          const version = (key as unknown[])[1] as string;
          if (!known.has(version) && !writing.has(version)) await transaction.objectStore('shards').delete(key);
        }
      }),
    );
  }

  /**
   * Copies a file of any size, one shard at a time; it counts as present only when the last one is written.
   * `onBytes` hears how many bytes more are stored.
   */
  async copy(source: FileSource, file: string, onBytes: (bytes: number) => void, signal?: AbortSignal): Promise<void> {
    const size = await source.size(file);
    if (size === undefined) throw new GraftError('not-found', `${source.name} has no file ${file}.`);
    const shards: ShardDigest[] = [];
    const version = crypto.randomUUID();
    for (let start = 0; start < size; start += this.shardBytes) {
      if (signal?.aborted) throw new GraftError('cancelled', 'Stopped because you asked for it.');
      const part = new Uint8Array(await source.read(file, start, Math.min(size, start + this.shardBytes)));
      const expected = Math.min(this.shardBytes, size - start);
      if (part.byteLength !== expected) {
        throw new GraftError(
          'bad-file',
          `${file} of ${source.name} ended after ${start + part.byteLength} of ${size} bytes.`,
        );
      }
      shards.push(await digestShard(part));
      const index = shards.length - 1;
      await guard(`keep ${file}`, () => this.database.put('shards', part, [this.folder, version, index]));
      onBytes(part.byteLength);
    }
    await guard(`keep ${file}`, () => this.database.put('files', { ...this.newEntry(file, shards), version }));
  }

  async remove(file: string): Promise<void> {
    await guard(`delete ${file} of ${this.name}`, () =>
      inTransaction(this.database, [...TABLES], async (transaction) => {
        const version = await this.versionOf(file, transaction);
        await transaction.objectStore('files').delete([this.folder, file]);
        if (version === undefined) return;
        await transaction.objectStore('shards').delete(keysUnder(this.folder, version));
      }),
    );
  }

  /** Deletes every file, and shards that a copy left when it was cut off. */
  async clear(): Promise<void> {
    await guard(`delete ${this.name}`, () =>
      inTransaction(this.database, [...TABLES], (transaction) =>
        Promise.all([
          transaction.objectStore('files').delete(keysUnder(this.folder)),
          transaction.objectStore('shards').delete(keysUnder(this.folder)),
        ]),
      ),
    );
  }

  /** The same folder as a read-only source, for models. */
  asSource(): FileSource {
    return {
      name: this.name,
      list: () => this.list(),
      size: (file) => this.size(file),
      read: async (file, start = 0, end?) => {
        const entry = await this.entry(file);
        if (!entry) throw new GraftError('not-found', `${this.name} has no file ${file}.`);
        return this.readRange(entry, start, Math.min(end ?? entry.size, entry.size));
      },
    };
  }

  private async entry(file: string): Promise<FileEntry | undefined> {
    const found = await guard(`read ${file} of ${this.name}`, () => this.database.get('files', [this.folder, file]));
    if (!found) return undefined;
    const entry = fileRow(found);
    if (entry) return entry;
    throw new GraftError(
      'storage',
      `${file} of ${this.name} is damaged in this browser's storage (its entry is not what was written). ${ADVICE}`,
    );
  }

  /** Of the file's entry, whole or damaged: which shards go with it. */
  private async versionOf(file: string, transaction: FolderTransaction): Promise<string | undefined> {
    const found = await transaction.objectStore('files').get([this.folder, file]);
    const { version } = (found ?? {}) as Partial<Record<keyof FileEntry, unknown>>;
    return typeof version === 'string' ? version : undefined;
  }

  private newEntry(name: string, shards: FileEntry['shards']): FileEntry {
    const size = shards.reduce((sum, shard) => sum + shard.size, 0);
    return { folder: this.folder, name, size, version: crypto.randomUUID(), shards };
  }

  private async readShard(entry: FileEntry, index: number): Promise<Bytes> {
    const expected = entry.shards[index]!;
    const key = `${entry.version}/${index}`;
    if (this.held?.key === key) return this.held.bytes;
    const shard: unknown = await guard(`read ${entry.name} of ${this.name}`, () =>
      this.database.get('shards', [this.folder, entry.version, index]),
    );
    const isKnown = this.verified.has(key) && shard instanceof Uint8Array && shard.byteLength === expected.size;
    if (!isKnown && !(await isShard(shard, expected))) {
      throw new GraftError(
        'storage',
        `${entry.name} of ${this.name} is damaged in this browser's storage (part ${index + 1} of ${entry.shards.length} ` +
          `is not what was written). ${ADVICE}`,
      );
    }
    this.verified.add(key);
    this.held = { key, bytes: shard as Bytes };
    return this.held.bytes;
  }
}
