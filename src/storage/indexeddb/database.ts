/** The browser's database: its tables, and the one place where its failures become sentences. */
import { openDB, type DBSchema, type IDBPDatabase } from 'idb';
import { GraftError, errorCode } from '../../core/errors';
import type { LogRow } from '../../core/events';
import type { KeptModel, RunRecord } from '../../core/library';
import type { KnownRevision, ModelOpening } from '../../core/weight-cache';
import type { CacheEntry } from '../weights';

/** A file counts as present when it has an entry: the entry is written last, after all of its shards. */
export interface FileEntry {
  readonly folder: string;
  readonly name: string;
  readonly size: number;
  /** Distinguishes the shards of this version of the file from those of the version that it replaces. */
  readonly version: string;
  readonly shards: readonly { readonly size: number; readonly sha256: string }[];
}

export interface Schema extends DBSchema {
  runs: { key: string; value: RunRecord };
  logs: { key: string; value: { id: string; rows: LogRow[] } };
  models: { key: string; value: KeptModel };
  files: { key: [folder: string, name: string]; value: FileEntry };
  /** Single values that the page wants back after a reload. */
  workspace: { key: string; value: unknown };
  shards: { key: [folder: string, version: string, index: number]; value: Uint8Array<ArrayBuffer> };
  /** Kept weights, and their shards. */
  weights: { key: string; value: CacheEntry };
  weightShards: { key: [id: string, name: string]; value: Uint8Array<ArrayBuffer> };
  /** What opening a model read, by the model's identity. */
  openings: { key: string; value: ModelOpening & { readonly sha256: string } };
  revisions: { key: [repository: string, revision: string]; value: KnownRevision };
}

export type Database = IDBPDatabase<Schema>;

const VERSION = 2;

export async function openDatabase(name = 'graft'): Promise<Database> {
  return guard('open its storage', async () => {
    const database = await openDB<Schema>(name, VERSION, {
      upgrade(db, version) {
        if (version < 1) {
          db.createObjectStore('runs', { keyPath: 'id' });
          db.createObjectStore('logs', { keyPath: 'id' });
          db.createObjectStore('models', { keyPath: 'id' });
          db.createObjectStore('files', { keyPath: ['folder', 'name'] });
          db.createObjectStore('workspace');
          db.createObjectStore('shards');
        }
        if (version < 2) {
          db.createObjectStore('weights', { keyPath: 'id' });
          db.createObjectStore('weightShards');
          db.createObjectStore('openings');
          db.createObjectStore('revisions');
        }
      },
      // A newer page in another tab may upgrade; this one then fails its next call instead of blocking it.
      blocking: (_current, _next, event) => (event.target as IDBDatabase).close(),
    });
    return database;
  });
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
    if (name === 'QuotaExceededError') {
      throw new GraftError(
        'storage',
        `There is no room left to ${what}: the browser refused the write. ` +
          'Delete past runs in the Library or free disk space, then resume.',
        { cause },
      );
    }
    const said = cause instanceof Error ? cause.message : String(cause);
    throw new GraftError('storage', `The browser could not ${what} (${said}). Reload the page and try again.`, {
      cause,
    });
  }
}
