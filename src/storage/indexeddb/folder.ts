/** A folder of files in the browser's database, in shards that are checked before they count as present. */
import { GraftError } from '../../core/errors';
import { sha256 } from '../../core/hash';
import type { FileSource, RunStore } from '../../core/store';
import { guard, keysUnder, type Database, type FileEntry } from './database';

/** Largest value of one database record: bigger ones are copied whole through the browser's processes. */
export const SHARD_BYTES = 64 * 2 ** 20;

type Bytes = Uint8Array<ArrayBuffer>;

export class BrowserFolder implements RunStore {
  /** Shards whose hash was right once in this session; a second read of a weight file skips the work. */
  private readonly verified = new Set<string>();

  constructor(
    private readonly database: Database,
    /** Key of the folder, `runs/<id>` or `models/<id>`. */
    private readonly folder: string,
    readonly name: string,
    private readonly shardBytes = SHARD_BYTES,
  ) {}

  async list(): Promise<string[]> {
    return (await this.entries()).map((entry) => entry.name);
  }

  entries(): Promise<FileEntry[]> {
    return guard(`list ${this.name}`, () => this.database.getAll('files', keysUnder(this.folder)));
  }

  async size(file: string): Promise<number | undefined> {
    return (await this.entry(file))?.size;
  }

  async read(file: string): Promise<Bytes | undefined> {
    const entry = await this.entry(file);
    return entry && this.readRange(entry, 0, entry.size);
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
    const shards = await Promise.all(parts.map(describe));
    const entry = this.newEntry(file, shards);
    await guard(`save ${file} of ${this.name}`, async () => {
      const transaction = this.database.transaction(['files', 'shards'], 'readwrite', { durability: 'strict' });
      const settled = transaction.done;
      settled.catch(() => undefined); // awaited below; a failed request rejects first
      const store = transaction.objectStore('shards');
      const previous = await transaction.objectStore('files').get([this.folder, file]);
      for (const [index, part] of parts.entries()) await store.put(part, [this.folder, entry.version, index]);
      await transaction.objectStore('files').put(entry);
      if (previous) await store.delete(keysUnder(this.folder, previous.version));
      await settled;
    });
  }

  /**
   * Copies a file of any size, one shard at a time; it counts as present only when the last one is written.
   * `onBytes` hears how many bytes more are stored.
   */
  async copy(source: FileSource, file: string, onBytes: (bytes: number) => void, signal?: AbortSignal): Promise<void> {
    const size = await source.size(file);
    if (size === undefined) throw new GraftError('not-found', `${source.name} has no file ${file}.`);
    const shards: { size: number; sha256: string }[] = [];
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
      shards.push(await describe(part));
      const index = shards.length - 1;
      await guard(`keep ${file}`, () => this.database.put('shards', part, [this.folder, version, index]));
      onBytes(part.byteLength);
    }
    await guard(`keep ${file}`, () => this.database.put('files', { ...this.newEntry(file, shards), version }));
  }

  async remove(file: string): Promise<void> {
    const entry = await this.entry(file);
    if (!entry) return;
    await guard(`delete ${file} of ${this.name}`, async () => {
      const transaction = this.database.transaction(['files', 'shards'], 'readwrite');
      await Promise.all([
        transaction.objectStore('files').delete([this.folder, file]),
        transaction.objectStore('shards').delete(keysUnder(this.folder, entry.version)),
        transaction.done,
      ]);
    });
  }

  /** Deletes every file, and shards that a copy left when it was cut off. */
  async clear(): Promise<void> {
    await guard(`delete ${this.name}`, async () => {
      const transaction = this.database.transaction(['files', 'shards'], 'readwrite');
      await Promise.all([
        transaction.objectStore('files').delete(keysUnder(this.folder)),
        transaction.objectStore('shards').delete(keysUnder(this.folder)),
        transaction.done,
      ]);
    });
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

  private entry(file: string): Promise<FileEntry | undefined> {
    return guard(`read ${file} of ${this.name}`, () => this.database.get('files', [this.folder, file]));
  }

  private newEntry(name: string, shards: FileEntry['shards']): FileEntry {
    const size = shards.reduce((sum, shard) => sum + shard.size, 0);
    return { folder: this.folder, name, size, version: crypto.randomUUID(), shards };
  }

  private async readShard(entry: FileEntry, index: number): Promise<Bytes> {
    const expected = entry.shards[index]!;
    const key = `${entry.version}/${index}`;
    const shard = await guard(`read ${entry.name} of ${this.name}`, () =>
      this.database.get('shards', [this.folder, entry.version, index]),
    );
    const intact =
      shard?.byteLength === expected.size &&
      (this.verified.has(key) || (await describe(shard)).sha256 === expected.sha256);
    if (!shard || !intact) {
      throw new GraftError(
        'storage',
        `${entry.name} of ${this.name} is damaged in this browser's storage (part ${index + 1} of ${entry.shards.length} ` +
          'is not what was written). Delete it in the Library and make it again.',
      );
    }
    this.verified.add(key);
    return shard;
  }
}

async function describe(part: Bytes): Promise<{ size: number; sha256: string }> {
  return { size: part.byteLength, sha256: await sha256(part) };
}
