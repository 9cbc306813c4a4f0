/**
 * One process at a time in a run's folder: a lock file that holds the process id. A process that was killed leaves its
 * lock behind; the next one sees that nobody of that id is there any more and takes it over.
 */
import { rmSync } from 'node:fs';
import { mkdir, open, readFile, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { GraftError } from '../core/errors';

export const LOCK_FILE = 'graft.lock';

/**
 * Runs `action` while holding the lock of a folder, which is made where it isn't there.
 * @throws `storage` where another process holds it
 */
export async function withFolderLock<T>(folder: string, action: () => Promise<T>): Promise<T> {
  const path = join(folder, LOCK_FILE);
  const made = await mkdir(folder, { recursive: true }).catch((cause: unknown) => {
    throw new GraftError('storage', `The folder ${folder} can't be made: ${(cause as Error).message}.`, { cause });
  });
  await take(path, folder);
  try {
    return await action();
  } finally {
    await rm(path, { force: true });
    // A folder made for nothing goes again; one that holds something stays.
    if (made !== undefined) await rmdir(folder).catch(() => undefined);
  }
}

/** Takes a lock without waiting: what lets go of it, or undefined where another process, or this one, holds it. */
export async function lockFile(path: string): Promise<(() => void) | undefined> {
  if (taken.has(path)) return undefined;
  taken.add(path);
  await mkdir(dirname(path), { recursive: true }).catch(() => undefined);
  const free = await create(path).catch(() => undefined); // a disk that can't be written has no writers
  const holder = free === false ? await readHolder(path) : undefined;
  const abandoned = free === false && (holder === undefined || !isAlive(holder));
  if (abandoned) await rm(path, { force: true });
  if (free !== true && !(abandoned && (await create(path)))) {
    taken.delete(path);
    return undefined;
  }
  return () => {
    rmSync(path, { force: true });
    taken.delete(path);
  };
}

/** Locks that this process holds. */
const taken = new Set<string>();

async function take(path: string, folder: string): Promise<void> {
  if (await create(path)) return;
  const holder = await readHolder(path);
  if (holder === undefined || !isAlive(holder)) {
    await rm(path, { force: true });
    if (await create(path)) return;
  }
  throw new GraftError(
    'storage',
    `${folder} is in use by another graft train${holder === undefined ? '' : ` (process ${holder})`}: wait for it, or stop it. ` +
      `Where no such process runs, remove ${path}.`,
  );
}

/** Creates the lock file with this process's id; false where there is one. */
async function create(path: string): Promise<boolean> {
  try {
    const handle = await open(path, 'wx');
    await handle.writeFile(`${process.pid}\n`);
    await handle.close();
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw new GraftError('storage', `${path} can't be written: ${(cause as Error).message}.`, { cause });
  }
}

/** The process id in a lock file; undefined where it holds none, or is gone by now. */
async function readHolder(path: string): Promise<number | undefined> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return /^\d+\n$/.test(text) ? Number(text) : undefined;
}

/** Whether a process of that id runs. Its own id in a lock is that of an earlier process, as in a restarted container. */
function isAlive(pid: number): boolean {
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0); // signal 0 only asks
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
