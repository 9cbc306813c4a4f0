/** Opening the browser's database where something stands in the way. */
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { freshDatabase } from '../../support/browser-storage';
import { expectError } from '../recipes/support';
import { browserWeightCache, RunLibrary } from '../../../src/storage/indexeddb';
import { DATABASE_VERSION, openDatabase, whileOpen } from '../../../src/storage/indexeddb/database';
import { runRecord } from './support';

const PATIENCE = { blocked: 50, silent: 100 };
const reopen = () => openDatabase('graft', PATIENCE);

beforeEach(async () => (await freshDatabase()).close());

/** Opens the database as another version of Graft would, whose connection may close when it is asked. */
function openVersion(version: number, upgrade?: (database: IDBDatabase) => void): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open('graft', version);
    request.onupgradeneeded = () => upgrade?.(request.result);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error!);
  });
}

/** Makes the database anew in an earlier version, and leaves it open. */
async function earlierVersion(upgrade?: (database: IDBDatabase) => void): Promise<IDBDatabase> {
  await new Promise((resolve) => (indexedDB.deleteDatabase('graft').onsuccess = resolve));
  return openVersion(2, upgrade);
}

describe('a database', () => {
  it('of a newer version is refused with what to do', async () => {
    (await openVersion(99)).close();
    await expectError(reopen, 'storage', /a newer version of Graft than this page: close all tabs/);
  });

  it('that lacks a table is refused with what to do', async () => {
    await new Promise((resolve) => (indexedDB.deleteDatabase('graft').onsuccess = resolve));
    (
      await openVersion(DATABASE_VERSION, (database) => void database.createObjectStore('runs', { keyPath: 'id' }))
    ).close();
    await expectError(reopen, 'storage', /damaged: it lacks logRows, models, files, .*Delete the data of this site/);
  });

  it('that a busy tab of an earlier version holds is refused, and opens when that tab is gone', async () => {
    const earlier = await earlierVersion();
    await expectError(reopen, 'storage', /Another tab has Graft open and is busy .*reload this page/);
    earlier.close();
    (await reopen()).close();
  });

  it('that somebody holds without a word is refused', async () => {
    const holder = await openVersion(DATABASE_VERSION);
    const waiting = indexedDB.deleteDatabase('graft'); // waits for the holder, and everybody else waits for it
    await new Promise((resolve) => (waiting.onblocked = resolve));
    await expectError(reopen, 'storage', /doesn't answer: another tab of this site may be holding it/);
    holder.close();
  });

  it('makes way for a newer page, but not while a run is training', async () => {
    const idle = await reopen();
    const training = await reopen();
    let end = () => {};
    const run = whileOpen(training, () => new Promise<void>((resolve) => (end = resolve)));
    const newer = openVersion(99);
    await vi.waitFor(() =>
      expectError(() => new RunLibrary(idle).list(), 'storage', /closed the storage of this tab.*Reload the page/),
    );
    await new RunLibrary(training).put(runRecord('r'));
    await new RunLibrary(training).addToLog('r', 0, [{ epoch: 1, step: 1 }]);
    end();
    await run;
    (await newer).close();
    await expectError(() => new RunLibrary(training).list(), 'storage', /Reload the page/);
  });

  it('stays open for weights that are being loaded and for what is being read', async () => {
    const database = await reopen();
    const kept = await browserWeightCache(database).open({ model: 'm', storage: 'f32' });
    const library = new RunLibrary(database);
    const letGo = await library.lease('r');
    const newer = openVersion(99);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await kept.close();
    expect(await library.list()).toEqual([]);
    letGo();
    (await newer).close();
    await expectError(() => library.list(), 'storage', /Reload the page/);
  });

  it('of an earlier version keeps its runs and their logs', async () => {
    const earlier = await earlierVersion((database) => {
      for (const name of ['runs', 'logs', 'models']) database.createObjectStore(name, { keyPath: 'id' });
    });
    const rows = [
      { epoch: 0.5, step: 1, loss: 2 },
      { epoch: 1, step: 2, loss: 1 },
    ];
    const transaction = earlier.transaction(['runs', 'logs'], 'readwrite');
    transaction.objectStore('runs').put(runRecord('r'));
    transaction.objectStore('logs').put({ id: 'r', rows });
    transaction.objectStore('logs').put({ id: 'broken' });
    await new Promise((resolve) => (transaction.oncomplete = resolve));
    earlier.close();
    const library = new RunLibrary(await reopen());
    expect((await library.list()).map(({ id, name }) => [id, name])).toEqual([['r', 'r']]);
    expect(await library.log('r')).toEqual(rows);
  });
});
