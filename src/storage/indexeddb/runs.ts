/** The index of past runs and their logs; the files of each lie in its own folder. */
import { chatOfRun } from '../../core/answers';
import { GraftError } from '../../core/errors';
import type { LogRow } from '../../core/events';
import type { RunRecord } from '../../core/library';
import { heldLocks, leaseOf, withLock, withoutLeases } from '../web-lock';
import { guard, inTransaction, keepOpen, keysUnder, whileOpen, type Database } from './database';
import { BrowserFolder } from './folder';
import { logRowsOf, runRow } from './rows';

const GONE = 'That run is not in this browser: it was deleted, or never was here.';

type RunTable = 'runs' | 'logRows' | 'files' | 'shards' | 'chats' | 'chatTurns' | 'evaluations' | 'evaluationRows';

/** Everything that is kept of a run goes with it. */
const TABLES_OF_RUNS: RunTable[] = [
  'runs',
  'logRows',
  'files',
  'shards',
  'chats',
  'chatTurns',
  'evaluations',
  'evaluationRows',
];

export class RunLibrary {
  constructor(private readonly database: Database) {}

  /** All runs, newest first. A run that says `running` while no tab holds its lock was cut off: `interrupted`. */
  async list(): Promise<RunRecord[]> {
    const records = await guard('list the runs', async () => {
      const transaction = this.database.transaction('runs');
      const [keys, values] = await Promise.all([transaction.store.getAllKeys(), transaction.store.getAll()]);
      return keys.flatMap((id, i) => (typeof id === 'string' ? [runRow(id, values[i])] : []));
    });
    const held = await heldLocks();
    return records.map((record) => asFound(record, held)).sort((a, b) => b.createdAt - a.createdAt);
  }

  /** @throws `not-found` */
  async get(id: string): Promise<RunRecord> {
    const record = await guard('read the run', () => this.database.get('runs', id));
    if (!record) throw new GraftError('not-found', GONE);
    return asFound(runRow(id, record), await heldLocks());
  }

  /** Where the run's adapter, checkpoints and dataset lie. */
  folder(id: string, name: string): BrowserFolder {
    return new BrowserFolder(this.database, folderKey(id), name);
  }

  async put(record: RunRecord): Promise<void> {
    await guard('save the run', () => this.database.put('runs', record));
  }

  /** Changes some fields in one transaction, so that two tabs don't undo each other's change. */
  async update(id: string, change: Partial<Omit<RunRecord, 'id'>>): Promise<RunRecord> {
    return guard('save the run', () =>
      inTransaction(this.database, ['runs'], async (transaction) => {
        const records = transaction.objectStore('runs');
        const found = await records.get(id);
        if (!found) throw new GraftError('not-found', GONE);
        const record = { ...runRow(id, found), ...change };
        await records.put(record);
        return record;
      }),
    );
  }

  /** The rows of the run's log, in order. */
  async log(id: string): Promise<LogRow[]> {
    return logRowsOf(await guard('read the log', () => this.database.getAll('logRows', keysUnder(id))));
  }

  /**
   * Replaces the log from row `from` on by `rows`, and changes the record: both in one transaction, so that neither tells
   * of what the other doesn't know.
   * @throws `not-found` where the run was deleted meanwhile; `storage`, and then nothing has changed
   */
  async addToLog(
    id: string,
    from: number,
    rows: readonly LogRow[],
    change: Partial<Omit<RunRecord, 'id'>> = {},
  ): Promise<void> {
    await guard('save the log', () =>
      inTransaction(this.database, ['runs', 'logRows'], async (transaction) => {
        const records = transaction.objectStore('runs');
        const found = await records.get(id);
        if (!found) throw new GraftError('not-found', GONE);
        const log = transaction.objectStore('logRows');
        await log.delete(IDBKeyRange.bound([id, from], [id, []]));
        await Promise.all([
          ...rows.map((row, i) => log.put(row, [id, from + i])),
          records.put({ ...runRow(id, found), ...change }),
        ]);
      }),
    );
  }

  /**
   * Deletes the run with its log, all of its files, and what it was asked, in one transaction: a crash leaves all of it or nothing.
   * @throws `storage` while a tab trains it, or reads it (`lease`)
   */
  async delete(id: string): Promise<void> {
    const training = 'This run is training in a tab right now: cancel it there before you delete it.';
    const inUse = 'This run is answering or being read right now: wait for that, or stop it, before you delete it.';
    await this.withWriter(id, training, () => withoutLeases(lockName(id), inUse, () => this.discard(id)));
  }

  /** Deletes a run as its writer: whoever calls holds its lock. */
  async discard(id: string): Promise<void> {
    await guard('delete the run', () =>
      inTransaction(this.database, TABLES_OF_RUNS, (transaction) =>
        Promise.all([
          transaction.objectStore('runs').delete(id),
          transaction.objectStore('logRows').delete(keysUnder(id)),
          transaction.objectStore('files').delete(keysUnder(folderKey(id))),
          transaction.objectStore('shards').delete(keysUnder(folderKey(id))),
          transaction.objectStore('chats').delete(chatOfRun(id)),
          transaction.objectStore('chatTurns').delete(keysUnder(chatOfRun(id))),
          transaction.objectStore('evaluations').delete(id),
          transaction.objectStore('evaluationRows').delete(keysUnder(id)),
        ]),
      ),
    );
  }

  /**
   * Holds the run's lock: one writer at a time, in whichever tab. The database stays open meanwhile, though a newer page
   * may ask for it.
   */
  withWriter<T>(id: string, busy: string, action: () => Promise<T>): Promise<T> {
    return withLock(lockName(id), busy, () => whileOpen(this.database, action));
  }

  /**
   * Keeps the run from being deleted, in any tab, until what is returned is called: for whoever reads its files.
   * @throws `storage` while it is being deleted
   */
  async lease(id: string): Promise<() => void> {
    const letGo = await leaseOf(lockName(id), 'This run is being deleted right now.');
    const close = keepOpen(this.database);
    return () => {
      letGo();
      close();
    };
  }
}

function asFound(record: RunRecord, held: ReadonlySet<string>): RunRecord {
  return record.state === 'running' && !held.has(lockName(record.id)) ? { ...record, state: 'interrupted' } : record;
}

function folderKey(id: string): string {
  return `runs/${id}`;
}

function lockName(id: string): string {
  return `graft:run:${id}`;
}
