/**
 * Files to a repository of a Hub, as one commit on a branch. What is there already is not sent again: files that the
 * branch has, and objects of large-file storage that an upload which was cut has left there.
 */
import { ConnectionError } from '../connections/errors';
import { throwIfCancelled } from '../core/errors';
import { RunningSha256 } from '../core/running-hash';
import type { HubClient } from './client';
import { sendLargeFiles, type LargeFile } from './large-files';
import type { HubRepo } from './listing';
import { checkRepoId, checkRevision } from './names';
import { isListedContent } from './source';
import { explainUploadRefusal, HubRefusal, notPrivate, takenName, withoutToken } from './upload-refusals';
import {
  askModes,
  askOwner,
  askRepo,
  checkCard,
  commitFiles,
  createBranch,
  createRepo,
  type CommittedFiles,
  type Place,
  type UploadFile,
} from './upload-requests';

export type { UploadFile } from './upload-requests';

export interface Upload {
  /** `org/name`, made where it isn't there. */
  readonly repo: string;
  /** A branch, made where it isn't there; `main` otherwise. */
  readonly branch?: string | undefined;
  /** Whether a repository that is made is to be private. One that is there stays as it is. */
  readonly isPrivate: boolean;
  /** Of the commit. */
  readonly message: string;
  readonly files: readonly UploadFile[];
}

export type UploadEvent =
  | { readonly kind: 'opened'; readonly created: boolean; readonly isPrivate: boolean }
  /** Bytes of large files whose hash is known, of how many. */
  | { readonly kind: 'hashing'; readonly file: string; readonly done: number; readonly total: number }
  /** Bytes of large files that the Hub has, of how many. */
  | { readonly kind: 'sending'; readonly file: string; readonly done: number; readonly total: number }
  | { readonly kind: 'committing' };

export interface UploadResult {
  /** As the Hub calls it now. */
  readonly repo: string;
  readonly created: boolean;
  readonly isPrivate: boolean;
  /** The commit that has the files: the branch's last one where nothing was to be done. */
  readonly commit: string;
  /** Files of the commit that was made; none where the branch has them all. */
  readonly committed: readonly string[];
  /** Of these, the ones whose bytes the storage had already. */
  readonly stored: readonly string[];
  /** The repository's own .gitignore leaves them out. */
  readonly ignored: readonly string[];
}

const CARD = 'README.md';

/**
 * An upload that is cut can be asked for again: it goes on where the Hub has the last whole file, or part of this run's.
 * @throws `no-access`, `storage` (no room there), `unsupported` (a file too large), `bad-file` (a card that the Hub
 *   refuses, or one that changed while it was read), `network`, `bad-config` (no such name can be), `cancelled`
 */
export async function uploadFiles(
  client: HubClient,
  { repo, branch = 'main', isPrivate, message, files }: Upload,
  onEvent: (event: UploadEvent) => void = () => undefined,
  signal?: AbortSignal,
): Promise<UploadResult> {
  let place: Place = {
    client,
    endpoint: client.endpoint,
    repo: checkRepoId(repo),
    branch: checkRevision(branch),
    signal,
  };
  if (!client.hasToken) throw withoutToken(place);
  try {
    const { created, ...opened } = await openBranch(place, isPrivate);
    onEvent({ kind: 'opened', created, isPrivate: opened.branch.private });
    place = { ...place, repo: opened.branch.id };
    const hashes = new FileHashes(files, onEvent, signal);
    const wanted = await differing(files, opened.branch, hashes);
    const result = { repo: place.repo, created, isPrivate: opened.branch.private };
    if (wanted.length === 0) return { ...result, commit: opened.branch.commit, committed: [], stored: [], ignored: [] };

    await refuseBadCard(place, wanted);
    const modes = await askModes(place, wanted);
    const regular = wanted.filter(({ name }) => modes.get(name) === 'regular');
    const large: LargeFile[] = [];
    for (const file of wanted) {
      if (modes.get(file.name) === 'large') large.push({ ...file, sha256: await hashes.of(file) });
    }
    const total = large.reduce((sum, { blob }) => sum + blob.size, 0);
    const stored = await sendLargeFiles(place, large, (file, done) =>
      onEvent({ kind: 'sending', file, done: Math.min(done, total), total }),
    );
    onEvent({ kind: 'committing' });
    const sent = [...regular, ...large];
    const commit =
      sent.length === 0
        ? opened.branch.commit
        : await commitOnce(place, sent, hashes, {
            message,
            regular,
            large: large.map(({ name, blob, sha256 }) => ({ name, size: blob.size, sha256 })),
          });
    return {
      ...result,
      commit,
      committed: sent.map(({ name }) => name),
      stored,
      ignored: wanted.filter(({ name }) => modes.get(name) === 'ignored').map(({ name }) => name),
    };
  } catch (error) {
    throwIfCancelled(signal);
    const to = place;
    throw error instanceof HubRefusal ? await explainUploadRefusal(error, to, () => askOwner(to)) : error;
  }
}

/** The branch as it is now, with its repository, both made where they are not there. */
async function openBranch(place: Place, isPrivate: boolean): Promise<{ branch: HubRepo; created: boolean }> {
  let created = false;
  const found = await askRepo(place).catch(async (error: unknown) => {
    if (!(error instanceof HubRefusal)) throw error;
    if (error.hubCode !== 'RevisionNotFound') {
      if (!error.hidesRepo) throw error;
      created = await createRepo(place, isPrivate);
    }
    return undefined;
  });
  const branch = found ?? (await openMadeBranch(place, created));
  if (created && isPrivate && !branch.private) throw notPrivate(place);
  return { branch, created };
}

/** After the repository was made, or where it lacks the branch. */
async function openMadeBranch(place: Place, created: boolean): Promise<HubRepo> {
  try {
    if (place.branch !== 'main') await createBranch(place);
    return await askRepo(place);
  } catch (error) {
    // It can't be made, as there is one, and can't be seen.
    if (!created && error instanceof HubRefusal && error.hidesRepo) throw takenName(place);
    throw error;
  }
}

/** Files that the branch lacks, or has with other bytes. */
async function differing(files: readonly UploadFile[], branch: HubRepo, hashes: FileHashes): Promise<UploadFile[]> {
  const different: UploadFile[] = [];
  for (const file of files) if (!(await isThere(file, branch, hashes))) different.push(file);
  return different;
}

async function isThere(file: UploadFile, branch: HubRepo, hashes: FileHashes): Promise<boolean> {
  const listed = branch.files.get(file.name);
  if (listed?.size !== file.blob.size) return false;
  if (listed.sha256 !== undefined) return (await hashes.of(file)) === listed.sha256;
  if (listed.blobId === undefined) return false;
  return isListedContent(branch, file.name, new Uint8Array(await file.blob.arrayBuffer()));
}

/** What a Hub would refuse with the commit, after gigabytes were sent. */
async function refuseBadCard(place: Place, files: readonly UploadFile[]): Promise<void> {
  const card = files.find(({ name }) => name === CARD);
  const fault = card && (await checkCard(place, await card.blob.text()));
  if (fault === undefined) return;
  const { host } = new URL(place.endpoint);
  throw new ConnectionError(
    'bad-file',
    `${host} refuses the front matter of ${CARD}: ${fault === '' ? 'it says not why' : fault}. Mend it, and upload again.`,
  );
}

/** One commit, though its answer may be lost: then the branch tells whether it has happened. */
async function commitOnce(
  place: Place,
  sent: readonly UploadFile[],
  hashes: FileHashes,
  commit: CommittedFiles,
): Promise<string> {
  const backoff = place.client.connection.backoff('transfer', place.signal);
  for (;;) {
    try {
      return await commitFiles(place, commit);
    } catch (error) {
      if (!(error instanceof ConnectionError) || !error.mayHaveActed) throw error;
      const now = await askRepo(place);
      if ((await differing(sent, now, hashes)).length === 0) return now.commit;
      await backoff.pause(error);
    }
  }
}

/** SHA-256 of files, each read once. */
class FileHashes {
  private readonly known = new Map<string, string>();
  private done = 0;

  constructor(
    private readonly files: readonly UploadFile[],
    private readonly onEvent: (event: UploadEvent) => void,
    private readonly signal: AbortSignal | undefined,
  ) {}

  async of({ name, blob }: UploadFile): Promise<string> {
    const before = this.known.get(name);
    if (before !== undefined) return before;
    const hash = await RunningSha256.create();
    const total = this.files.reduce((sum, file) => sum + file.blob.size, 0);
    const reader = blob.stream().getReader();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        throwIfCancelled(this.signal);
        hash.update(value);
        this.done += value.byteLength;
        this.onEvent({ kind: 'hashing', file: name, done: this.done, total });
      }
    } finally {
      await reader.cancel().catch(() => undefined);
    }
    const digest = hash.digest();
    this.known.set(name, digest);
    return digest;
  }
}
