/** Kept weights in a folder of the disk: a folder an entry, a file a shard, and what is known of them in entry.json. */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode } from '../core/errors';
import type { CacheBackend, EntryRow, EntryUse, Shard } from '../storage/weights';
import { FolderStore } from './folders';
import { lockFile } from './lock';

const ENTRY = 'entry.json';
const SHARD = '.shard';

/** Bytes as JSON has them, and back. */
const encodeState = (_: string, value: unknown) =>
  value instanceof Uint8Array ? { base64: Buffer.from(value).toString('base64') } : value;
const decodeState = (_: string, value: unknown) => {
  const { base64 } = (value ?? {}) as { base64?: unknown };
  return typeof base64 === 'string' ? new Uint8Array(Buffer.from(base64, 'base64')) : value;
};

export class FolderBackend implements CacheBackend {
  constructor(private readonly root: string) {}

  /** A file that is no JSON is given as it is: it counts as damaged, and not as none. */
  async row(id: string): Promise<unknown> {
    const bytes = await this.folder(id).read(ENTRY);
    try {
      return bytes && (JSON.parse(new TextDecoder().decode(bytes), decodeState) as unknown);
    } catch {
      return bytes;
    }
  }

  async put(row: EntryRow, shard?: Shard): Promise<void> {
    const folder = this.folder(row.id);
    if (shard) await folder.write(shard.name + SHARD, shard.bytes);
    await folder.write(ENTRY, new TextEncoder().encode(JSON.stringify(row, encodeState)));
  }

  readShard(id: string, name: string): Promise<Uint8Array | undefined> {
    return this.folder(id).read(name + SHARD);
  }

  async removeShards(id: string, names: readonly string[]): Promise<void> {
    for (const name of names) await this.folder(id).remove(name + SHARD);
  }

  async remove(id: string): Promise<void> {
    await this.folder(id).remove(ENTRY); // first: from here on the shards are nobody's
    await rm(join(this.root, id), { recursive: true, force: true });
  }

  async shards(): Promise<{ id: string; name: string }[]> {
    const found = await Promise.all(
      (await this.ids()).map(async (id) => {
        const files = await readdir(join(this.root, id)).catch(() => []);
        return files.flatMap((file) =>
          file.includes(SHARD) ? [{ id, name: file.slice(0, file.indexOf(SHARD)) }] : [],
        );
      }),
    );
    return found.flat();
  }

  /** Files that are deleted can be read on here, so readers need no lock. */
  async lock(id: string, use: EntryUse): Promise<(() => void) | undefined> {
    return use === 'write' ? lockFile(join(this.root, `${id}.write.lock`)) : () => undefined;
  }

  isFull(error: unknown): boolean {
    const { code } = ((error as { cause?: unknown } | null)?.cause ?? {}) as NodeJS.ErrnoException;
    return errorCode(error) === 'storage' && (code === 'ENOSPC' || code === 'EDQUOT');
  }

  private folder(id: string): FolderStore {
    return new FolderStore(join(this.root, id));
  }

  async ids(): Promise<string[]> {
    const found = await readdir(this.root, { withFileTypes: true }).catch(() => []);
    return found.filter((one) => one.isDirectory() && /^[0-9a-f]{32}$/.test(one.name)).map(({ name }) => name);
  }
}
