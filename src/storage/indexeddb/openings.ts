/** What lets models open without a connection, in the browser's database. */
import { sha256 } from '../../core/hash';
import { encodeUtf8 } from '../../core/store';
import type { KnownRevision, ModelOpening, OpeningCache } from '../../core/weight-cache';
import { readOpening, sealRevision, unsealRevision } from '../openings';
import { guard, type Database } from './database';

export class BrowserOpenings implements OpeningCache {
  constructor(private readonly database: Database) {}

  /** One that isn't what was written counts as none. */
  async opening(model: string): Promise<ModelOpening | undefined> {
    const found: unknown = await guard('read the kept model', () => this.database.get('openings', model));
    const opening = readOpening(found);
    if (!opening) return undefined;
    return (found as { sha256?: unknown }).sha256 === (await digestOf(opening)) ? opening : undefined;
  }

  async keepOpening(model: string, opening: ModelOpening): Promise<void> {
    const record = { ...opening, sha256: await digestOf(opening) };
    await guard('keep the model', () => this.database.put('openings', record, model));
  }

  async forgetOpening(model: string): Promise<void> {
    await guard('delete the kept model', () => this.database.delete('openings', model));
  }

  /** The identities of all models that something is kept of. */
  models(): Promise<string[]> {
    return guard('list the kept models', () => this.database.getAllKeys('openings'));
  }

  /**
   * Which commit each repository that was ever asked for had, from the rows of earlier pages too, which carry no hash:
   * good enough to tell which Hub was asked, and for nothing else.
   */
  async revisions(): Promise<{ readonly repository: string; readonly commit: string }[]> {
    return guard('list the kept models', async () => {
      const { store } = this.database.transaction('revisions');
      const [keys, values] = await Promise.all([store.getAllKeys(), store.getAll()]);
      return keys.flatMap(([repository], i) => {
        const { commit } = (values[i] ?? {}) as { commit?: unknown };
        return typeof commit === 'string' ? [{ repository, commit }] : [];
      });
    });
  }

  async revision(repository: string, revision: string): Promise<KnownRevision | undefined> {
    const found = await guard('read the kept model', () => this.database.get('revisions', [repository, revision]));
    return unsealRevision(repository, revision, found);
  }

  async keepRevision(repository: string, revision: string, known: KnownRevision): Promise<void> {
    const row = await sealRevision(repository, revision, known);
    await guard('keep the model', () => this.database.put('revisions', row, [repository, revision]));
  }
}

/** SHA-256 of all of it. */
async function digestOf({ files, sizes, hashes, reads }: ModelOpening): Promise<string> {
  const lines = await Promise.all(
    reads.map(async ({ file, start, end, bytes }) => [file, start, end, await sha256(bytes)]),
  );
  const answers = [sizes.map(({ file, size }) => [file, size]), hashes.map((known) => [known.file, known.sha256])];
  return sha256(encodeUtf8(JSON.stringify([files, answers, lines])));
}
