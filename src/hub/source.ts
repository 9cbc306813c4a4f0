/** A model on a Hub as a folder: every file at one commit, read by ranges or as one stream. */
import { damaged } from '../connections/file-errors';
import { transfer, type RemoteFile } from '../connections/transfer';
import { ByteCollector } from '../core/byte-collector';
import { GraftError } from '../core/errors';
import { sha1, sha256 } from '../core/hash';
import { encodeUtf8, type FileSource } from '../core/store';
import type { HubClient } from './client';
import type { HubFile, HubRepo } from './listing';

/**
 * `repo` comes from `client.model`. Asking for names and sizes makes no request. An aborted `signal` ends every read with
 * `cancelled`.
 */
export function hubSource(client: HubClient, repo: HubRepo, signal?: AbortSignal): FileSource {
  return new HubSource(client, repo, signal);
}

class HubSource implements FileSource {
  readonly name: string;
  readonly commit: string;

  constructor(
    private readonly client: HubClient,
    private readonly repo: HubRepo,
    private readonly signal: AbortSignal | undefined,
  ) {
    this.name = repo.id;
    this.commit = repo.commit;
  }

  list(): Promise<string[]> {
    return Promise.resolve([...this.repo.files.keys()]);
  }

  size(file: string): Promise<number | undefined> {
    return Promise.resolve(this.repo.files.get(file)?.size);
  }

  sha256(file: string): Promise<string | undefined> {
    return Promise.resolve(this.repo.files.get(file)?.sha256);
  }

  /** A file that is read whole is checked against its listed hash. */
  async read(file: string, start = 0, end = Infinity): Promise<Uint8Array> {
    const entry = this.entry(file);
    const last = Math.min(end, entry.size);
    const collected = new ByteCollector(last - start);
    const remote = this.remote(entry);
    for await (const piece of transfer(this.client.connection, remote, start, last, this.signal)) collected.add(piece);
    const bytes = collected.take();
    if (bytes.byteLength === entry.size && !(await hasListedHash(bytes, entry))) throw damaged(remote.subject);
    return bytes;
  }

  async *stream(file: string, start: number, signal = this.signal): AsyncGenerator<Uint8Array, void, undefined> {
    const entry = this.entry(file);
    yield* transfer(this.client.connection, this.remote(entry), start, entry.size, signal);
  }

  private entry(file: string): HubFile {
    const entry = this.repo.files.get(file);
    if (!entry) throw new GraftError('not-found', `${this.name} has no file ${file}.`);
    return entry;
  }

  private remote({ name, size }: HubFile): RemoteFile {
    const { id, commit } = this.repo;
    return {
      path: `/${id}/resolve/${commit}/${encodeURIComponent(name)}`,
      size,
      subject: this.client.subject(`${name} of ${id}`, {
        ...{ repo: id, revision: commit, file: name },
        wantsPage: /\.html?$/.test(name),
      }),
    };
  }
}

/** Whether `bytes` are the file of that name, by the size and the hash that the Hub lists of it. */
export async function isListedContent(repo: HubRepo, file: string, bytes: Uint8Array): Promise<boolean> {
  const listed = repo.files.get(file);
  return listed !== undefined && listed.size === bytes.byteLength && hasListedHash(bytes, listed);
}

async function hasListedHash(bytes: Uint8Array, listed: HubFile): Promise<boolean> {
  if (listed.sha256 !== undefined) return (await sha256(bytes)) === listed.sha256;
  return listed.blobId === undefined || (await gitBlobId(bytes)) === listed.blobId;
}

/** Git's name for a file's bytes. */
async function gitBlobId(bytes: Uint8Array): Promise<string> {
  const head = encodeUtf8(`blob ${bytes.byteLength}\0`);
  const blob = new Uint8Array(head.byteLength + bytes.byteLength);
  blob.set(head);
  blob.set(bytes, head.byteLength);
  return sha1(blob);
}
