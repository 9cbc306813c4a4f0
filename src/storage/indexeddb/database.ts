/** The browser's database: its tables, and the one place where its failures become sentences. */
import { openDB, type DBSchema, type IDBPDatabase, type IDBPTransaction, type StoreNames } from 'idb';
import type { ComparedQuestion, KeptChat, KeptEvaluation, Turn } from '../../core/answers';
import { GraftError, errorCode } from '../../core/errors';
import type { LogRow } from '../../core/events';
import type { KeptModel, RunRecord } from '../../core/library';
import type { ModelOpening } from '../../core/weight-cache';
import type { ShardDigest } from '../shards';
import type { EntryRow } from '../weights';

/** A file counts as present when it has an entry: the entry is written last, after all of its shards. */
export interface FileEntry {
  readonly folder: string;
  readonly name: string;
  readonly size: number;
  /** Distinguishes the shards of this version of the file from those of the version that it replaces. */
  readonly version: string;
  readonly shards: readonly ShardDigest[];
}

/**
 * What is written. What is read may be anything: another version of Graft or a damaged disk may have left it, so each
 * reader checks its rows (`rows.ts`).
 */
export interface Schema extends DBSchema {
  runs: { key: string; value: RunRecord };
  /** One row of a run's log each, numbered from 0. */
  logRows: { key: [run: string, row: number]; value: LogRow };
  models: { key: string; value: KeptModel };
  files: { key: [folder: string, name: string]; value: FileEntry };
  /** Single values that the page wants back after a reload. */
  workspace: { key: string; value: unknown };
  shards: { key: [folder: string, version: string, index: number]; value: Uint8Array<ArrayBuffer> };
  /** Kept weights, and their shards. */
  weights: { key: string; value: EntryRow };
  weightShards: { key: [id: string, name: string]; value: Uint8Array<ArrayBuffer> };
  /** What opening a model read, by the model's identity. */
  openings: { key: string; value: ModelOpening & { readonly sha256: string } };
  revisions: { key: [repository: string, revision: string]; value: unknown };
  /** Conversations, and their turns, numbered from 0. */
  chats: { key: string; value: Omit<KeptChat, 'turns'> };
  chatTurns: { key: [chat: string, turn: number]; value: Turn };
  /** What was asked of a run's data, and the questions with their answers, numbered from 0. */
  evaluations: { key: string; value: Omit<KeptEvaluation, 'rows'> };
  evaluationRows: { key: [run: string, row: number]; value: ComparedQuestion };
}

export type Database = IDBPDatabase<Schema>;
type Table = StoreNames<Schema>;

export const DATABASE_VERSION = 4;

/** The tables of this version, and which of them find their key in the value. */
const TABLES: Readonly<Record<Table, string | string[] | null>> = {
  runs: 'id',
  logRows: null,
  models: 'id',
  files: ['folder', 'name'],
  workspace: null,
  shards: null,
  weights: 'id',
  weightShards: null,
  openings: null,
  revisions: null,
  chats: null,
  chatTurns: null,
  evaluations: null,
  evaluationRows: null,
};

/** How long opening waits, in milliseconds: for other tabs to let an upgrade pass, and for any answer at all. */
export interface OpeningPatience {
  readonly blocked: number;
  readonly silent: number;
}

const PATIENCE: OpeningPatience = { blocked: 3_000, silent: 10_000 };

const BLOCKED =
  'Another tab has Graft open and is busy with it, in an earlier version that this one can’t share its storage with: ' +
  'let it finish what it does (or stop it), close it, and reload this page.';
const SILENT =
  "The browser's storage doesn't answer: another tab of this site may be holding it. Close the other tabs, then reload " +
  'this page.';
const NEWER =
  "This browser's storage was last used by a newer version of Graft than this page: close all tabs of Graft and open it " +
  'again, which loads the newer version.';
const CLOSED =
  'The browser has closed the storage of this tab: a newer version of Graft is open in another one, or the data of this ' +
  'site were deleted. Reload the page.';

/**
 * Opens the database, or creates and upgrades it.
 * @throws `storage` within a few seconds, where another tab holds it, a newer version has written it, or tables are missing
 */
export function openDatabase(name = 'graft', patience = PATIENCE): Promise<Database> {
  return guard('open its storage', async () => {
    const database = await connect(name, patience);
    const missing = Object.keys(TABLES).filter((table) => !database.objectStoreNames.contains(table as Table));
    if (missing.length === 0) return database;
    database.close();
    throw new GraftError(
      'storage',
      `Graft's storage in this browser is damaged: it lacks ${missing.join(', ')}. Delete the data of this site in the ` +
        "browser's settings, then reload the page.",
    );
  });
}

function connect(name: string, patience: OpeningPatience): Promise<Database> {
  const connection = new Connection();
  return new Promise((resolve, reject) => {
    let gaveUp = false;
    const giveUpAfter = (milliseconds: number, why: string) =>
      setTimeout(() => {
        gaveUp = true;
        reject(new GraftError('storage', why));
      }, milliseconds);
    let timer = giveUpAfter(patience.silent, SILENT);
    const opening = openDB<Schema>(name, DATABASE_VERSION, {
      upgrade(database, _old, _new, transaction) {
        clearTimeout(timer);
        // A failure aborts the upgrade, and with it the opening: it is told there.
        upgrade(database, transaction as unknown as UpgradeTransaction).catch(() => transaction.abort());
      },
      blocked: () => {
        clearTimeout(timer);
        timer = giveUpAfter(patience.blocked, BLOCKED);
      },
      blocking: () => connection.makeWay(),
    });
    opening
      .then((database) => {
        // A request can't be taken back: what it opens after all is closed, so that it stands in nobody's way.
        if (gaveUp) return database.close();
        connection.database = database;
        connections.set(database, connection);
        resolve(database);
      })
      .catch((cause: unknown) => {
        const isNewer = (cause as { name?: unknown } | null)?.name === 'VersionError';
        reject(isNewer ? new GraftError('storage', NEWER, { cause }) : (cause as Error));
      })
      .finally(() => clearTimeout(timer));
  });
}

/** The part of an upgrade's transaction that is used here, with tables that are no longer in the schema. */
interface UpgradeTransaction {
  objectStore(name: string): { getAll(): Promise<unknown[]>; put(value: unknown, key: IDBValidKey): Promise<unknown> };
}

/** Creates the tables that are missing. Until version 3 a log was one value with all of its rows, under `logs`. */
async function upgrade(database: Database, transaction: UpgradeTransaction): Promise<void> {
  for (const [table, keyPath] of Object.entries(TABLES)) {
    if (database.objectStoreNames.contains(table as Table)) continue;
    database.createObjectStore(table as Table, keyPath === null ? {} : { keyPath });
  }
  const names = database.objectStoreNames as DOMStringList;
  if (!names.contains('logs')) return;
  const logs = (await transaction.objectStore('logs').getAll()) as { id: string; rows?: unknown }[];
  const rows = transaction.objectStore('logRows');
  for (const log of logs) {
    if (!Array.isArray(log.rows)) continue;
    await Promise.all(log.rows.map((row, index) => rows.put(row, [log.id, index])));
  }
  (database as unknown as { deleteObjectStore(name: string): void }).deleteObjectStore('logs');
}

/** A database as one tab holds it: it closes when a newer version of Graft asks for it, but not while it is needed. */
class Connection {
  database: Database | undefined;
  private holders = 0;
  private isAsked = false;

  makeWay(): void {
    this.isAsked = true;
    if (this.holders === 0) this.database?.close();
  }

  hold(): void {
    this.holders++;
  }

  letGo(): void {
    this.holders--;
    if (this.isAsked) this.makeWay();
  }
}

const connections = new WeakMap<Database, Connection>();

/**
 * Keeps the database open while `action` runs, whoever asks for it: a run that is training loses nothing to a newer page
 * in another tab, which is told to wait.
 */
export async function whileOpen<T>(database: Database, action: () => Promise<T>): Promise<T> {
  const letGo = keepOpen(database);
  try {
    return await action();
  } finally {
    letGo();
  }
}

/** The same until what is returned is called. */
export function keepOpen(database: Database): () => void {
  const connection = connections.get(database);
  connection?.hold();
  let isHeld = true;
  return () => {
    if (isHeld) connection?.letGo();
    isHeld = false;
  };
}

/** Runs `action` in one transaction on some tables: a crash or a failure leaves all of what it does, or nothing. */
export async function inTransaction<T, Tables extends Table[]>(
  database: Database,
  tables: Tables,
  action: (transaction: IDBPTransaction<Schema, Tables, 'readwrite'>) => Promise<T>,
  options?: IDBTransactionOptions,
): Promise<T> {
  const transaction = database.transaction(tables, 'readwrite', options);
  const settled = transaction.done;
  settled.catch(() => undefined); // awaited below; a failed request rejects first
  let result: T;
  try {
    result = await action(transaction);
  } catch (error) {
    if (errorCode(error)) transaction.abort(); // not a request's failure, which aborts by itself
    throw error;
  }
  await settled;
  return result;
}

/** All keys that begin with these parts. */
export function keysUnder(...parts: string[]): IDBKeyRange {
  return IDBKeyRange.bound(parts, [...parts, []]);
}

/**
 * Runs a storage action and turns what the browser throws into `storage` with plain words. Quota is handled here,
 * where a write fails, and never predicted: `estimate()` is a guess by specification.
 */
export async function guard<T>(what: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    if (errorCode(cause)) throw cause;
    const name = cause instanceof Error || cause instanceof DOMException ? cause.name : '';
    if (name === 'InvalidStateError') throw new GraftError('storage', CLOSED, { cause });
    if (name === 'QuotaExceededError') {
      throw new GraftError(
        'storage',
        `There is no room left to ${what}: the browser refused the write. ` +
          'Delete past runs under Runs or free disk space, then resume.',
        { cause },
      );
    }
    const said = cause instanceof Error ? cause.message : String(cause);
    throw new GraftError('storage', `The browser could not ${what} (${said}). Reload the page and try again.`, {
      cause,
    });
  }
}
