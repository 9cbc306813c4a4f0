/** Folders on disk as recipes see them: read in ranges, and written so that a crash leaves the old file or the new one. */
import { open, readdir, readFile, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errorCode, GraftError } from '../core/errors';
import type { FileSource, RunStore } from '../core/store';
import { makeFolder, reason } from './disk';
import { isAlive } from './lock';

/**
 * A folder to read. A file that changes once it was read is refused, unless it `isVerified` by whoever reads it. `expected`
 * is what the message calls it where the path is a file.
 * @throws `not-found` where there is none
 */
export async function openFolder(path: string, isVerified = false, expected = 'a folder'): Promise<FileSource> {
  const found = await stat(path).catch(() => undefined);
  if (!found) throw new GraftError('not-found', `There is no folder ${path}: check its path.`);
  if (!found.isDirectory()) {
    const isPart = /\.(safetensors|bin|json|jinja|model)$/i.test(path);
    const advice = isPart ? `: name the folder that holds it, ${dirname(path)}` : '';
    throw new GraftError('not-found', `${path} is a file; ${expected} is expected${advice}.`);
  }
  return new Folder(path, isVerified);
}

class Folder implements FileSource {
  /** What each file was when it was first read: its place on the disk, size and time of change. */
  private readonly seen = new Map<string, string>();

  constructor(
    readonly name: string,
    private readonly isVerified: boolean,
  ) {}

  async list(): Promise<string[]> {
    const entries = await readdir(this.name, { withFileTypes: true });
    return entries.filter((entry) => !entry.isDirectory()).map((entry) => entry.name);
  }

  async size(file: string): Promise<number | undefined> {
    // Follows links: the Hub's own cache is made of them.
    const found = await stat(join(this.name, file)).catch(() => undefined);
    return found?.isFile() ? found.size : undefined;
  }

  async read(file: string, start = 0, end?: number): Promise<Uint8Array> {
    const size = await this.size(file);
    if (size === undefined) throw new GraftError('not-found', `${this.name} has no file ${file}.`);
    const handle = await open(join(this.name, file)).catch((cause: unknown) => {
      throw new GraftError('storage', `${file} in ${this.name} can't be read: ${reason(cause)}.`, { cause });
    });
    try {
      await this.refuseChanged(file, handle);
      return await readFully(handle, start, Math.min(end ?? size, size));
    } finally {
      await handle.close();
    }
  }
  /** Weights that are swapped for others while a model is open would be trained under the name of those before. */
  private async refuseChanged(file: string, handle: FileHandle): Promise<void> {
    if (this.isVerified) return;
    const { dev, ino, size, mtimeNs } = await handle.stat({ bigint: true });
    const now = `${dev} ${ino} ${size} ${mtimeNs}`;
    const before = this.seen.get(file) ?? now;
    this.seen.set(file, before);
    if (now === before) return;
    throw new GraftError(
      'bad-file',
      `${file} in ${this.name} was changed or replaced after it was opened: leave the folder as it is while Graft works ` +
        'with it, and start again.',
    );
  }
}

/** A single read or write of 2 GiB or more fails on some systems. */
const MOST_AT_ONCE = 2 ** 30;

/** Bytes `start` to `end` of an open file; fewer where it ends before. */
async function readFully(handle: FileHandle, start: number, end: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(Math.max(0, end - start));
  let filled = 0;
  while (filled < bytes.byteLength) {
    const most = Math.min(bytes.byteLength - filled, MOST_AT_ONCE);
    const { bytesRead } = await handle.read(bytes, filled, most, start + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}

const TEMPORARY = '.partial';

/** A run's folder. It is made when the first file is written. */
export class FolderStore implements RunStore {
  constructor(readonly name: string) {}

  async list(): Promise<string[]> {
    const entries = await readdir(this.name, { withFileTypes: true }).catch(() => []);
    return entries.filter((entry) => entry.isFile() && !entry.name.endsWith(TEMPORARY)).map((entry) => entry.name);
  }

  async read(file: string): Promise<Uint8Array | undefined> {
    try {
      return await readFile(join(this.name, file));
    } catch (cause) {
      if (isMissing(cause)) return undefined;
      throw new GraftError('storage', `${file} in ${this.name} can't be read: ${reason(cause)}.`, { cause });
    }
  }

  async size(file: string): Promise<number | undefined> {
    const found = await stat(join(this.name, file)).catch((cause: unknown) => {
      if (isMissing(cause)) return undefined;
      throw new GraftError('storage', `${file} in ${this.name} can't be read: ${reason(cause)}.`, { cause });
    });
    return found?.size;
  }

  async readAt(file: string, start: number, end: number): Promise<Uint8Array> {
    try {
      const handle = await open(join(this.name, file));
      try {
        return await readFully(handle, start, end);
      } finally {
        await handle.close();
      }
    } catch (cause) {
      throw new GraftError('storage', `${file} in ${this.name} can't be read: ${reason(cause)}.`, { cause });
    }
  }

  write(file: string, bytes: Uint8Array): Promise<void> {
    return this.writePieces(file, [bytes]);
  }

  /** Writes beside the file, waits until the disk has it, and renames: there is no moment at which the file is half. */
  async writePieces(file: string, pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
    const path = join(this.name, file);
    const partial = takePartial(path);
    try {
      makeFolder(this.name);
      const handle = await open(partial, 'w');
      try {
        for await (const bytes of pieces) {
          for (let from = 0; from < bytes.byteLength; from += MOST_AT_ONCE) {
            await handle.writeFile(bytes.subarray(from, from + MOST_AT_ONCE));
          }
        }
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(partial, path);
      await syncFolder(this.name);
      await this.removePartials(file).catch(() => undefined);
    } catch (cause) {
      await rm(partial, { force: true }).catch(() => undefined);
      if (errorCode(cause)) throw cause; // of whoever makes the pieces
      throw new GraftError(
        'storage',
        `${file} can't be written to ${this.name}: ${reason(cause)}. What was there before is kept.`,
        { cause },
      );
    } finally {
      writing.delete(partial);
    }
  }

  /** Removes the file, and what writes of it that were cut off have left. */
  async remove(file: string): Promise<void> {
    try {
      await rm(join(this.name, file), { force: true });
      await this.removePartials(file);
    } catch (cause) {
      throw new GraftError('storage', `${file} in ${this.name} can't be removed: ${reason(cause)}.`, { cause });
    }
  }

  /** What writes of the file have left, but for those under way: of processes that are gone, or of earlier ones of this id. */
  private async removePartials(file: string): Promise<void> {
    const names = await readdir(this.name).catch(() => []);
    for (const name of names) {
      if (!name.startsWith(`${file}.`) || !name.endsWith(TEMPORARY)) continue;
      const path = join(this.name, name);
      if (!writing.has(path) && !isAlive(writerOf(name))) await rm(path, { force: true });
    }
  }
}

/** Partial files that this process writes. */
const writing = new Set<string>();

/** A name that no other write uses, of this process or another, so that none renames what is half into place. */
function takePartial(path: string): string {
  let count = 0;
  const named = () => `${path}.${process.pid}-${count}${TEMPORARY}`;
  while (writing.has(named())) count++;
  writing.add(named());
  return named();
}

/** The id of the process that writes a partial file. */
function writerOf(partial: string): number {
  return Number(/\.(\d+)-\d+\.partial$/.exec(partial)?.[1] ?? NaN);
}

/** Makes a rename survive a power cut; Windows neither needs nor allows it. */
async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function isMissing(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '');
}

/** @throws `bad-config` where a folder that is to be written anew has something in it */
export async function refuseFilled(path: string): Promise<void> {
  const files = await readdir(path).catch(() => []);
  if (files.length === 0) return;
  throw new GraftError('bad-config', `${path} holds files already: name a new folder with --output.`);
}
