/**
 * Browser storage in Node: a whole IndexedDB in memory (fake-indexeddb, which passes most of the Web Platform Tests) and
 * Web Locks of this process. `test/e2e/storage.test.ts` holds the same modules against Chromium's own.
 */
import 'fake-indexeddb/auto';
import { IDBFactory } from 'fake-indexeddb';
import { openDatabase, type Database } from '../../src/storage/indexeddb';
import { LocalLocks } from './web-locks';

Object.defineProperty(globalThis, 'navigator', { value: { locks: new LocalLocks() }, configurable: true });

/** A database of its own, empty. */
export function freshDatabase(): Promise<Database> {
  globalThis.indexedDB = new IDBFactory();
  return openDatabase();
}
