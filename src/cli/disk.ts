/** What the disk refuses, in words, and folders that are made on it. */
import { mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { GraftError } from '../core/errors';

const REASONS: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'your quota of disk space is spent',
  EACCES: 'you may not',
  EPERM: 'you may not',
  EROFS: 'the disk is read-only',
  ENOTDIR: 'a part of its path is a file',
  EISDIR: 'there is a folder of that name',
  EEXIST: 'there is a file of that name',
  ENAMETOOLONG: 'its name is too long',
  ELOOP: 'its links lead in a circle',
  EMFILE: 'too many files are open',
  EIO: 'the disk reports an error',
};

/** Why the system refused to read or write, in words: a part of a sentence. */
export function reason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  // Node's own words are `EIO: i/o error, write 'path'`.
  return REASONS[code ?? ''] ?? message.replace(/^[A-Z0-9_]+: ([^,]+),.*$/s, '$1');
}

/**
 * Makes a folder and those above it; says whether it wasn't there. A level at a time, as `recursive` never returns in
 * file systems like /proc, which have the parent and refuse the child as if they had not.
 * @throws `storage` with what stands in the way
 */
export function makeFolder(path: string): boolean {
  const whole = resolve(path);
  try {
    const missing: string[] = [];
    for (let folder = whole; !isFolder(folder, folder === whole); folder = dirname(folder)) missing.unshift(folder);
    for (const folder of missing) makeLevel(folder);
    return missing.length > 0;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? 'no folders can be made there' : reason(cause);
    throw new GraftError('storage', `The folder ${path} can't be made: ${why}. Name another one.`, { cause });
  }
}

/** Whether there is a folder; false where there is nothing. Throws where there is a file: the last part of a path, or one before. */
function isFolder(path: string, isLast = true): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found || found.isDirectory()) return found !== undefined;
  throw Object.assign(new Error(`${path} is a file`), { code: isLast ? 'EEXIST' : 'ENOTDIR' });
}

function makeLevel(path: string): void {
  try {
    mkdirSync(path);
  } catch (error) {
    const isThere = (error as NodeJS.ErrnoException).code === 'EEXIST' && isFolder(path);
    if (!isThere) throw error; // another process may have made it meanwhile
  }
}
