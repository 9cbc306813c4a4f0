/** What the command line reads whole: a file, a pipe, a device, or standard input. */
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { ByteCollector } from '../core/byte-collector';
import { formatSize } from '../core/bytes';
import { GraftError, throwIfCancelled } from '../core/errors';
import { fileKind } from '../core/file-kinds';
import { plural } from '../core/format';
import { suggestName } from '../core/nearest';
import { decodeUtf8 } from '../core/store';
import { reason } from './disk';
import { openFifo } from './fifo';

/** Read as a stream: a socket or a terminal can't be opened by its path. */
export const STANDARD_INPUT: ReadonlySet<string> = new Set(['-', '/dev/stdin', '/dev/fd/0', '/proc/self/fd/0']);

/** The text of an input file. Throws `bad-file` for one that holds no text in UTF-8, and says what it is. */
export async function readInputText(
  path: string,
  what: string,
  signal: AbortSignal,
  most = MOST_OF_TEXT,
): Promise<string> {
  const bytes = await readInput(path, what, signal, most);
  try {
    return decodeUtf8(bytes);
  } catch {
    const found = fileKind(bytes)?.what ?? 'is not UTF-8';
    throw new GraftError('bad-file', `The ${what} ${path} ${found}; a text file in UTF-8 is expected.`);
  }
}

/** Most bytes of an input, all of which is held in memory. */
const MOST_OF_INPUT = 2 ** 31 - 2 ** 20;
/** Most bytes of one that is read as one text: more doesn't fit a string of JavaScript. */
const MOST_OF_TEXT = 2 ** 29 - 2 ** 20;
/** Most bytes of what doesn't say how long it is, a pipe or a device: it may have no end. */
const MOST_WITHOUT_SIZE = 2 ** 27;
/** Most bytes of a run file or a template: far more than anyone writes. */
export const MOST_OF_SETTINGS = 2 ** 24;

/**
 * The bytes of an input file, a pipe, or `-` for standard input. `what` is what the message calls it; once `signal` is
 * aborted, nothing is waited for any more, which throws `cancelled`.
 */
export async function readInput(
  path: string,
  what: string,
  signal: AbortSignal,
  most = MOST_OF_INPUT,
): Promise<Uint8Array> {
  if (STANDARD_INPUT.has(path)) {
    return collect(process.stdin, `The ${what} on standard input`, Math.min(most, MOST_WITHOUT_SIZE), signal);
  }
  const found = await stat(path).catch(() => undefined);
  if (!found) throw await describeMissing(path, what);
  if (found.isDirectory()) {
    const files = await readdir(path).catch(() => []);
    const rows = files.find((file) => /\.(jsonl?|csv|parquet)$/i.test(file) && !file.endsWith('config.json'));
    const such = rows === undefined ? '' : `, such as ${join(path, rows)}`;
    throw new GraftError('not-found', `The ${what} ${path} is a folder; a file is expected${such}.`);
  }
  const name = `The ${what} ${path}`;
  if (found.size > most) {
    const limit = `more than ${formatSize(most)} are not read: split it, or take a part of it`;
    throw new GraftError('bad-file', `${name} has ${plural(found.size, 'byte')}; ${limit}.`);
  }
  if (found.isFile()) return collect(createReadStream(path, { highWaterMark: 2 ** 20 }), name, most, signal);
  const stream = found.isFIFO()
    ? await openFifo(path, signal).catch((cause: unknown) => refuseUnreadable(name, cause))
    : createReadStream(path, { highWaterMark: 2 ** 20 });
  return collect(stream, name, Math.min(most, MOST_WITHOUT_SIZE), signal);
}

/** All that a stream gives, up to a limit. */
async function collect(stream: Readable, name: string, limit: number, signal: AbortSignal): Promise<Uint8Array> {
  const collected = new ByteCollector(limit);
  let bytes = 0;
  const stop = () => void stream.destroy();
  signal.addEventListener('abort', stop, { once: true });
  try {
    throwIfCancelled(signal);
    for await (const piece of stream as AsyncIterable<Uint8Array>) {
      bytes += piece.byteLength;
      if (bytes > limit) break;
      collected.add(piece);
    }
    throwIfCancelled(signal);
  } catch (cause) {
    throwIfCancelled(signal); // what a stream says that is closed before its end
    refuseUnreadable(name, cause);
  } finally {
    signal.removeEventListener('abort', stop);
  }
  if (bytes <= limit) return collected.take();
  const found = `goes on after ${formatSize(limit)}, and no more is read of what doesn't say how long it is`;
  throw new GraftError('bad-file', `${name} ${found}: save what is wanted of it as a file.`);
}

function refuseUnreadable(name: string, cause: unknown): never {
  if (cause instanceof GraftError) throw cause;
  throw new GraftError('storage', `${name} can't be read: ${reason(cause)}.`, { cause });
}

/** What to do where there is no file of that name: the one that was meant, beside it or among the built-in ones. */
export async function describeMissing(
  path: string,
  what: string,
  builtIn: readonly string[] = [],
): Promise<GraftError> {
  const cause: unknown = await stat(path).catch((error: unknown) => error);
  if (cause instanceof Error && !['ENOENT', 'ENOTDIR'].includes((cause as NodeJS.ErrnoException).code ?? '')) {
    return new GraftError('not-found', `The ${what} ${path} can't be read: ${reason(cause)}. Name another file.`, {
      cause,
    });
  }
  const folder = dirname(path);
  const beside = await readdir(folder).catch(() => undefined);
  const meant =
    suggestName(path, builtIn) ??
    suggestName(basename(path), beside ?? [])?.replace(/^/, folder === '.' ? '' : `${folder}/`);
  const guess = meant === undefined ? '' : ` Did you mean ${meant}?`;
  const known = builtIn.length === 0 ? '' : `, or a built-in one (${builtIn.join(', ')})`;
  const advice = beside === undefined ? `there is no folder ${folder}` : `check its path, or name another file${known}`;
  return new GraftError('not-found', `There is no ${what} ${path}: ${advice}.${guess}`);
}
