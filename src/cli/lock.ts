/**
 * One process at a time in a run's folder: a lock file that holds the process id. A process that was killed leaves its
 * lock behind; the next one sees that nobody of that id is there any more and takes it over.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { link, readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { GraftError } from '../core/errors';
import { makeFolder, reason } from './disk';

export const LOCK_FILE = 'graft.lock';

/**
 * Runs `action` while holding the lock of a folder, which is made where it isn't there.
 * @throws `storage` where another process, or this one, holds it
 */
export async function withFolderLock<T>(folder: string, action: () => Promise<T>): Promise<T> {
  const path = join(folder, LOCK_FILE);
  const made = makeFolder(folder);
  if (!(await takeLock(path))) throw await describeHolder(path, folder);
  try {
    return await action();
  } finally {
    releaseLock(path);
    // A folder made for nothing goes again; one that holds something stays.
    if (made) await rmdir(folder).catch(() => undefined);
  }
}

/** Takes a lock without waiting: what lets go of it, or undefined where another process, or this one, holds it. */
export async function lockFile(path: string): Promise<(() => void) | undefined> {
  try {
    makeFolder(dirname(path));
    return (await takeLock(path)) ? () => releaseLock(path) : undefined;
  } catch {
    return undefined; // a disk that can't be written has no writers
  }
}

/** Locks that this process holds, or is about to. */
const taken = new Set<string>();

/** Whether the lock was free, or left behind. */
async function takeLock(path: string): Promise<boolean> {
  if (taken.has(path)) return false;
  taken.add(path);
  let took = false;
  try {
    took = (await createLock(path)) || (await takeOver(path));
  } finally {
    if (!took) taken.delete(path);
  }
  return took;
}

/** A lock that was taken for abandoned, and over, is another's by now. */
function releaseLock(path: string): void {
  try {
    if (holderIn(readFileSync(path, 'utf8')) === process.pid) rmSync(path);
  } catch {
    // It is gone, or another's by now; one that stays is seen to be left behind once this process is over.
  } finally {
    taken.delete(path);
  }
}

async function describeHolder(path: string, folder: string): Promise<GraftError> {
  const holder = await readHolder(path);
  return new GraftError(
    'storage',
    `${folder} is in use by another graft train${holder === undefined ? '' : ` (process ${holder})`}: wait for it, or stop it. ` +
      `Where no such process runs, remove ${path}.`,
  );
}

/**
 * Creates the lock file with this process's id; false where there is one. It is linked to its name when the id is in it:
 * nobody sees a lock without its holder.
 */
async function createLock(path: string): Promise<boolean> {
  const whole = aside(path);
  const text = `${process.pid}\n`;
  try {
    await writeFile(whole, text, { flag: 'wx' });
    await link(whole, path).catch((error: unknown) => {
      if (!WITHOUT_LINKS.has((error as NodeJS.ErrnoException).code)) throw error;
      return writeFile(path, text, { flag: 'wx' });
    });
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw new GraftError('storage', `${path} can't be written: ${reason(cause)}.`, { cause });
  } finally {
    await rm(whole, { force: true }).catch(() => undefined);
  }
}

/** What file systems without hard links answer, as those of memory cards. */
const WITHOUT_LINKS = new Set<string | undefined>(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);

/** Takes over a lock whose holder is gone: one process at a time, or the second would remove what the first has made. */
async function takeOver(path: string): Promise<boolean> {
  if (!(await isAbandoned(path))) return false;
  const guard = `${path}.takeover`;
  if (!(await createLock(guard))) {
    const holder = await readHolder(guard);
    if (holder !== undefined && !isAlive(holder)) await rm(guard, { force: true });
    return false;
  }
  try {
    if (!(await isAbandoned(path))) return false;
    await rm(path, { force: true }).catch((cause: unknown) => {
      throw new GraftError('storage', `${path} can't be removed: ${(cause as Error).message}.`, { cause });
    });
    return await createLock(path);
  } finally {
    await rm(guard, { force: true }).catch(() => undefined);
  }
}

async function isAbandoned(path: string): Promise<boolean> {
  const holder = await readHolder(path);
  return holder === undefined || !isAlive(holder);
}

/** A name beside the lock that nobody else uses. */
const aside = (path: string) => `${path}.${randomUUID()}`;

/**
 * The process id in a lock file; undefined where it holds none, or is gone by now.
 * @throws `storage` where nobody can tell, as of a folder of that name: it is not taken for abandoned
 */
async function readHolder(path: string): Promise<number | undefined> {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return '';
    const why =
      cause.code === 'EISDIR' ? 'is a folder, where a lock file is expected' : `can't be read: ${cause.message}`;
    throw new GraftError('storage', `${path} ${why}. Where no other graft train runs there, remove it.`, { cause });
  });
  return holderIn(text);
}

/** No process has the id 0: to the system it means one's own group. */
function holderIn(text: string): number | undefined {
  return /^0*[1-9]\d{0,9}\n$/.test(text) ? Number(text) : undefined;
}

/** Whether a process of that id runs. Its own id in a lock is that of an earlier process, as in a restarted container. */
export function isAlive(pid: number): boolean {
  if (pid === process.pid || !(pid > 0)) return false;
  try {
    process.kill(pid, 0); // signal 0 only asks
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
