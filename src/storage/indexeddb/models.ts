/** Copies of models that the user opened from the disk, kept so that runs on them survive a reload. */
import { GraftError } from '../../core/errors';
import type { KeptModel } from '../../core/library';
import type { FileSource } from '../../core/store';
import { leaseOf, withLock, withoutLeases } from '../web-lock';
import { guard, inTransaction, keepOpen, keysUnder, whileOpen, type Database } from './database';
import { BrowserFolder } from './folder';
import { keptModelRow } from './rows';

const COPYING = 'graft:models';

export class KeptModels {
  constructor(private readonly database: Database) {}

  list(): Promise<KeptModel[]> {
    return guard('list the models', async () => {
      const transaction = this.database.transaction('models');
      const [keys, values] = await Promise.all([transaction.store.getAllKeys(), transaction.store.getAll()]);
      return keys.flatMap((id, i) => (typeof id === 'string' ? [keptModelRow(id, values[i])] : []));
    });
  }

  /** @throws `not-found` */
  async source(id: string): Promise<FileSource> {
    const model = await guard('read the model', () => this.database.get('models', id));
    if (!model)
      throw new GraftError('not-found', 'The copy of this model is gone from this browser: open its folder again.');
    return this.folder(keptModelRow(id, model)).asSource();
  }

  /**
   * Keeps the copy from being deleted, in any tab, until what is returned is called: for whoever reads its weights.
   * @throws `storage` while it is being deleted
   */
  async lease(id: string): Promise<() => void> {
    const letGo = await leaseOf(
      lockName(id),
      'The copy of this model is being deleted right now: open its folder again.',
    );
    const close = keepOpen(this.database);
    return () => {
      letGo();
      close();
    };
  }

  /**
   * Copies the files, unless a copy with the same fingerprint is here. The index names a copy only when every file
   * is complete.
   * @throws `storage` where the browser is full; nothing of the copy is left then.
   */
  async keep(
    source: FileSource,
    files: readonly string[],
    fingerprint: string,
    onProgress: (loaded: number, total: number) => void,
    signal?: AbortSignal,
  ): Promise<KeptModel> {
    const known = (await this.list()).find((model) => model.fingerprint === fingerprint);
    if (known) return known;
    const sizes = await Promise.all(files.map(async (file) => (await source.size(file)) ?? 0));
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    const model = { id: crypto.randomUUID(), name: source.name, bytes, fingerprint, createdAt: Date.now() };
    const copy = async () => {
      const folder = this.folder(model);
      try {
        let loaded = 0;
        for (const file of files) {
          await folder.copy(source, file, (more) => onProgress((loaded += more), bytes), signal);
        }
      } catch (error) {
        await folder.clear();
        throw error;
      }
      await guard('keep the model', () => this.database.put('models', model));
      return model;
    };
    return withLock(COPYING, 'Another tab is copying a model: wait until it is done.', () =>
      whileOpen(this.database, copy),
    );
  }

  /** Deletes what a copy left that was cut off with its tab; does nothing while another tab copies. */
  async sweep(): Promise<void> {
    const sweep = async () => {
      const known = new Set((await this.list()).map(({ id }) => folderKey(id)));
      const keys = await guard('list the models', () => this.database.getAllKeys('shards', modelShards()));
      for (const folder of new Set(keys.map(([key]) => key))) {
        if (!known.has(folder)) await new BrowserFolder(this.database, folder, 'an unfinished copy').clear();
      }
    };
    await navigator.locks.request(COPYING, { ifAvailable: true }, (lock) => (lock ? sweep() : undefined));
  }

  /**
   * Deletes a copy, its index and its shards in one transaction: a crash leaves all of it or nothing.
   * @throws `storage` while a tab reads it (`lease`)
   */
  async delete(id: string): Promise<void> {
    const inUse =
      'This model is being read right now, here or in another tab: wait for that, or stop it, before you delete it.';
    await withoutLeases(lockName(id), inUse, () =>
      guard('delete the model', () =>
        inTransaction(this.database, ['models', 'files', 'shards'], (transaction) =>
          Promise.all([
            transaction.objectStore('models').delete(id),
            transaction.objectStore('files').delete(keysUnder(folderKey(id))),
            transaction.objectStore('shards').delete(keysUnder(folderKey(id))),
          ]),
        ),
      ),
    );
  }

  private folder(model: KeptModel): BrowserFolder {
    return new BrowserFolder(this.database, folderKey(model.id), model.name);
  }
}

function folderKey(id: string): string {
  return `models/${id}`;
}

function lockName(id: string): string {
  return `graft:model:${id}`;
}

/** Shards of all models: '0' is the character after '/'. */
function modelShards(): IDBKeyRange {
  return IDBKeyRange.bound(['models/'], ['models0']);
}
