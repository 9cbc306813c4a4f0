/** The index of past runs and their logs; the files of each lie in its own folder. */
import { GraftError } from '../../core/errors';
import type { LogRow } from '../../core/events';
import type { RunRecord } from '../../core/library';
import { heldLocks, withLock } from '../web-lock';
import { guard, type Database } from './database';
import { BrowserFolder } from './folder';

export class RunLibrary {
  constructor(private readonly database: Database) {}

  /** All runs, newest first. A run that says `running` while no tab holds its lock was cut off: `interrupted`. */
  async list(): Promise<RunRecord[]> {
    const records = await guard('list the runs', () => this.database.getAll('runs'));
    const held = await heldLocks();
    return records.map((record) => asFound(record, held)).sort((a, b) => b.createdAt - a.createdAt);
  }

  /** @throws `not-found` */
  async get(id: string): Promise<RunRecord> {
    const record = await guard('read the run', () => this.database.get('runs', id));
    if (!record) throw new GraftError('not-found', 'That run is no longer in this browser: it was deleted.');
    return asFound(record, await heldLocks());
  }

  /** Where the run's adapter, checkpoints and dataset lie. */
  folder(id: string, name: string): BrowserFolder {
    return new BrowserFolder(this.database, `runs/${id}`, name);
  }

  async put(record: RunRecord): Promise<void> {
    await guard('save the run', () => this.database.put('runs', record));
  }

  /** Changes some fields in one transaction, so that two tabs don't undo each other's change. */
  async update(id: string, change: Partial<Omit<RunRecord, 'id'>>): Promise<RunRecord> {
    return guard('save the run', async () => {
      const transaction = this.database.transaction('runs', 'readwrite');
      const found = await transaction.store.get(id);
      if (!found) throw new GraftError('not-found', 'That run is no longer in this browser: it was deleted.');
      const record = { ...found, ...change };
      await transaction.store.put(record);
      await transaction.done;
      return record;
    });
  }

  async log(id: string): Promise<LogRow[]> {
    return (await guard('read the log', () => this.database.get('logs', id)))?.rows ?? [];
  }

  async putLog(id: string, rows: readonly LogRow[]): Promise<void> {
    await guard('save the log', () => this.database.put('logs', { id, rows: [...rows] }));
  }

  /** @throws `storage` while a tab trains it. */
  async delete(id: string): Promise<void> {
    const busy = 'This run is training in a tab right now: cancel it there before you delete it.';
    await this.withWriter(id, busy, async () => {
      await this.folder(id, 'the run').clear();
      await guard('delete the run', async () => {
        const transaction = this.database.transaction(['runs', 'logs'], 'readwrite');
        await Promise.all([
          transaction.objectStore('runs').delete(id),
          transaction.objectStore('logs').delete(id),
          transaction.done,
        ]);
      });
    });
  }

  /** Holds the run's lock: one writer at a time, in whichever tab. */
  withWriter<T>(id: string, busy: string, action: () => Promise<T>): Promise<T> {
    return withLock(lockName(id), busy, action);
  }
}

function asFound(record: RunRecord, held: ReadonlySet<string>): RunRecord {
  return record.state === 'running' && !held.has(lockName(record.id)) ? { ...record, state: 'interrupted' } : record;
}

function lockName(id: string): string {
  return `graft:run:${id}`;
}
