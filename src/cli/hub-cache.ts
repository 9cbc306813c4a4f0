/** The cache that Hugging Face's own tools keep of the Hub, which Graft reads and never writes. */
import { createHash } from 'node:crypto';
import { readFile, readlink, realpath, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { GraftError } from '../core/errors';
import { derivedSource, type FileSource } from '../core/store';
import { isCommit } from '../hub/names';
import { openFolder } from './folders';

/**
 * What the cache in `folder` has of a repository at a revision: links to blobs under
 * `models--ORG--NAME/snapshots/COMMIT`, where `refs/REVISION` says which commit a branch or tag was when it was last
 * asked for. Large files' blobs are named by their SHA-256, which a stream of them is held against. Undefined where it
 * has no config of it, a model's or an adapter's; weights may be missing.
 */
export async function cachedSnapshot(folder: string, repo: string, revision: string): Promise<FileSource | undefined> {
  const root = join(folder, `models--${repo.replace('/', '--')}`);
  const ref = isCommit(revision) ? revision : await readFile(join(root, 'refs', revision), 'utf8').catch(() => '');
  const commit = ref.trim();
  if (!isCommit(commit)) return undefined;
  const path = join(root, 'snapshots', commit);
  // An adapter's folder has another.
  const configs = ['config.json', 'adapter_config.json'].map((file) => stat(join(path, file)).catch(() => undefined));
  const found = await Promise.all(configs);
  if (!found.some((config) => config?.isFile())) return undefined;
  const files = await openFolder(path, true);
  const sha256 = async (file: string) => {
    const blob = basename(await readlink(join(path, file)).catch(() => ''));
    return /^[0-9a-f]{64}$/.test(blob) ? blob : undefined;
  };
  const stream = async function* (file: string, start: number) {
    const size = (await files.size(file)) ?? 0;
    // What begins later can't be verified here.
    const expected = start === 0 ? await sha256(file) : undefined;
    const hash = createHash('sha256');
    for (let at = start; at < size; at += PIECE_BYTES) {
      const piece = await files.read(file, at, at + PIECE_BYTES);
      if (expected !== undefined) hash.update(piece);
      if (expected !== undefined && at + PIECE_BYTES >= size && hash.digest('hex') !== expected)
        throw damaged(await realpath(join(path, file)));
      yield piece;
    }
  };
  return derivedSource(files, { name: repo, commit, sha256, stream });
}

/** Bytes that are read from the disk at once where a stream is asked for. */
const PIECE_BYTES = 8 * 2 ** 20;

function damaged(path: string): GraftError {
  return new GraftError(
    'bad-file',
    `${path}, in the cache of Hugging Face's tools, is damaged: its SHA-256 is not the one in its name. Delete it, and it ` +
      'is downloaded again.',
  );
}

/** Whether bytes are those that the Hub lists under a name. */
type ContentCheck = (file: string, bytes: Uint8Array) => Promise<boolean>;

/**
 * The same files at the same commit: from the disk where it has what the Hub lists, else from the Hub. The cache is one for
 * all Hubs that Hugging Face's tools were ever pointed at, so that its files are held against this one's list: large ones
 * by the SHA-256 that names their blob, others by their bytes.
 */
export function preferLocal(local: FileSource, remote: FileSource, isListed: ContentCheck): FileSource {
  const found = new Map<string, Promise<boolean>>();
  const compare = async (file: string) => {
    const size = await local.size(file);
    if (size === undefined || size !== (await remote.size(file))) return false;
    const [named, listed] = [await local.sha256?.(file), await remote.sha256?.(file)];
    if (listed !== undefined && named !== undefined) return named === listed;
    return size <= LARGEST_COMPARED && isListed(file, await local.read(file));
  };
  const source = async (file: string) => {
    const isLocal = found.get(file) ?? compare(file);
    found.set(file, isLocal);
    return (await isLocal) ? local : remote;
  };
  return derivedSource(remote, {
    read: async (file, start, end) => (await source(file)).read(file, start, end),
    async *stream(file, start, signal) {
      yield* (await source(file)).stream!(file, start, signal);
    },
  });
}

/** Bytes of a file that is read whole to be compared. What is longer has a blob named by its SHA-256, or comes anew. */
const LARGEST_COMPARED = 256 * 2 ** 20;
