/** Copies of models that the user opened from the disk, kept so that runs on them survive a reload. */
import { GraftError } from '../../core/errors';
import type { KeptModel } from '../../core/library';
import type { FileSource } from '../../core/store';
import { withLock } from '../web-lock';
import { guard, type Database } from './database';
import { BrowserFolder } from './folder';

const COPYING = 'graft:models';

export class KeptModels {
  constructor(private readonly database: Database) {}

  list(): Promise<KeptModel[]> {
    return guard('list the models', () => this.database.getAll('models'));
  }

  /** @throws `not-found` */
  async source(id: string): Promise<FileSource> {
    const model = await guard('read the model', () => this.database.get('models', id));
    if (!model)
      throw new GraftError('not-found', 'The copy of this model is gone from this browser: open its folder again.');
    return this.folder(model).asSource();
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
    return withLock(COPYING, 'Another tab is copying a model: wait until it is done.', async () => {
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
    });
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

  async delete(id: string): Promise<void> {
    const model = await guard('read the model', () => this.database.get('models', id));
    if (!model) return;
    await this.folder(model).clear();
    await guard('delete the model', () => this.database.delete('models', id));
  }

  private folder(model: KeptModel): BrowserFolder {
    return new BrowserFolder(this.database, folderKey(model.id), model.name);
  }
}

function folderKey(id: string): string {
  return `models/${id}`;
}

/** Shards of all models: '0' is the character after '/'. */
function modelShards(): IDBKeyRange {
  return IDBKeyRange.bound(['models/'], ['models0']);
}
