/** The cache that Hugging Face's own tools keep of the Hub, which Graft reads and never writes. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { derivedSource, type FileSource } from '../core/store';
import { isCommit } from '../hub/names';
import { openFolder } from './folders';

/**
 * What the cache in `folder` has of a repository at a revision: links to blobs under
 * `models--ORG--NAME/snapshots/COMMIT`, where `refs/REVISION` says which commit a branch or tag was when it was last
 * asked for. Undefined where it has no config.json of it; weights may be missing.
 */
export async function cachedSnapshot(folder: string, repo: string, revision: string): Promise<FileSource | undefined> {
  const root = join(folder, `models--${repo.replace('/', '--')}`);
  const ref = isCommit(revision) ? revision : await readFile(join(root, 'refs', revision), 'utf8').catch(() => '');
  const commit = ref.trim();
  if (!isCommit(commit)) return undefined;
  const path = join(root, 'snapshots', commit);
  const found = await stat(join(path, 'config.json')).catch(() => undefined);
  if (!found?.isFile()) return undefined;
  return derivedSource(await openFolder(path), { name: repo, commit });
}

/** Bytes that are read from the disk at once where a stream is asked for. */
const PIECE_BYTES = 8 * 2 ** 20;

/** The same files at the same commit: from the disk where it has them whole, else from the Hub. */
export function preferLocal(local: FileSource, remote: FileSource): FileSource {
  const isLocal = async (file: string) => {
    const size = await local.size(file);
    return size !== undefined && size === (await remote.size(file));
  };
  const from = async (file: string) => ((await isLocal(file)) ? local : remote);
  return derivedSource(remote, {
    read: async (file, start, end) => (await from(file)).read(file, start, end),
    async *stream(file, start, signal) {
      const source = await from(file);
      if (source.stream) {
        yield* source.stream(file, start, signal);
        return;
      }
      const size = (await source.size(file)) ?? 0;
      for (let at = start; at < size; at += PIECE_BYTES) yield await source.read(file, at, at + PIECE_BYTES);
    },
  });
}
