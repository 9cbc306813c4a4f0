/** Browser storage against a real IndexedDB: the source modules themselves, served as they are to a blank page. */
import { describe, expect } from 'vitest';
import { callIn, test, type Storage } from '../support/storage-page';

const RECORD = {
  id: 'r',
  name: 'r',
  createdAt: 1,
  state: 'running' as const,
  model: { kind: 'builtin' as const, name: 'starter' },
  datasetName: 'd',
  step: 0,
  totalSteps: 0,
  checkpointStep: 0,
  summary: null,
  error: null,
};

describe('a folder', () => {
  test('gives back files of any size, whole and by ranges, and survives a reload', async ({ call, page }) => {
    const write = async ({ openDatabase, BrowserFolder }: Storage, sizes: number[]) => {
      const folder = new BrowserFolder(await openDatabase(), 'runs/a', 'a', 100);
      for (const size of sizes)
        await folder.write(
          `${size}`,
          Uint8Array.from({ length: size }, (_, i) => i % 251),
        );
      return folder.list();
    };
    expect(await call(write, [0, 1, 99, 100, 101, 1000])).toEqual(['0', '1', '100', '1000', '101', '99']);
    await page.reload();
    const read = async ({ openDatabase, BrowserFolder }: Storage) => {
      const source = new BrowserFolder(await openDatabase(), 'runs/a', 'a').asSource();
      const results: [string, number | undefined, boolean][] = [];
      for (const name of await source.list()) {
        const bytes = await source.read(name);
        results.push([
          name,
          await source.size(name),
          bytes.every((byte, i) => byte === i % 251) && bytes.length === Number(name),
        ]);
      }
      const range = [...(await source.read('1000', 98, 203))];
      return {
        results,
        rangeOk: range.length === 105 && range.every((byte, i) => byte === (i + 98) % 251),
        none: await source.size('x'),
      };
    };
    const { results, rangeOk, none } = await call(read, null);
    for (const [name, size, intact] of results) expect([size, intact], name).toEqual([Number(name), true]);
    expect(rangeOk).toBe(true);
    expect(none).toBeUndefined();
  });

  test('keeps the old bytes where a write is cut off by a full disk, and no leftovers of either', async ({
    call,
    page,
    url,
  }) => {
    const write = async ({ openDatabase, BrowserFolder }: Storage, [size, fill]: [number, number]) => {
      const folder = new BrowserFolder(await openDatabase(), 'runs/a', 'a', 100_000);
      return folder.write('f', new Uint8Array(size).fill(fill)).then(
        () => 'written',
        (error: Error) => `${error.name} ${error.message}`,
      );
    };
    const look = async ({ openDatabase, BrowserFolder }: Storage) => {
      const database = await openDatabase();
      const bytes = await new BrowserFolder(database, 'runs/a', 'a').read('f');
      return { length: bytes?.length, first: bytes?.[0], shards: (await database.getAllKeys('shards')).length };
    };
    const session = await page.context().newCDPSession(page);
    const origin = new URL(url).origin;
    await session.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 1_000_000 });
    expect(await call(write, [250_000, 1])).toBe('written');
    expect(await call(write, [5_000_000, 2])).toMatch(/^Graft:storage There is no room left to save f of a/);
    expect(await call(look, null)).toEqual({ length: 250_000, first: 1, shards: 3 });
    expect(await call(write, [150_000, 3])).toBe('written');
    expect(await call(look, null)).toEqual({ length: 150_000, first: 3, shards: 2 });
  });

  for (const [what, damage] of [
    ['changed', 'bytes.set([9])'],
    ['shortened', 'bytes = bytes.slice(1)'],
  ] as const) {
    test(`says so where a stored part was ${what}`, async ({ call }) => {
      const run = async ({ openDatabase, BrowserFolder }: Storage, change: string) => {
        const database = await openDatabase();
        await new BrowserFolder(database, 'runs/a', 'a', 100).write('f', new Uint8Array(250));
        const [, key] = await database.getAllKeys('shards');
        // eslint-disable-next-line @typescript-eslint/no-implied-eval -- the damage comes as text into the page
        const changed = new Function('bytes', `${change}; return bytes`) as (
          bytes: Uint8Array,
        ) => Uint8Array<ArrayBuffer>;
        await database.put('shards', changed((await database.get('shards', key!))!), key);
        return new BrowserFolder(database, 'runs/a', 'a').read('f').then(
          () => 'read',
          (error: Error) => `${error.name} ${error.message}`,
        );
      };
      expect(await call(run, damage)).toMatch(/^Graft:storage f of a is damaged .*part 2 of 3/);
    });
  }
});

describe('the library', () => {
  test('reads a run as running while a tab holds it, and as interrupted when that tab is gone', async ({
    call,
    page,
    url,
  }) => {
    const other = await page.context().newPage();
    await other.goto(`${url}blank`);
    const hold = async ({ openDatabase, RunLibrary }: Storage, record: typeof RECORD) => {
      const library = new RunLibrary(await openDatabase());
      await library.put(record);
      await new Promise<void>((held) => {
        void library.withWriter(record.id, 'busy', () => new Promise(() => held()));
      });
    };
    const state = async ({ openDatabase, RunLibrary }: Storage) => {
      const library = new RunLibrary(await openDatabase());
      const write = await library
        .withWriter('r', 'busy', () => Promise.resolve('free'))
        .catch((error: Error) => error.message);
      return { states: (await library.list()).map((run) => run.state), write };
    };
    await callIn(other)(hold, RECORD);
    expect(await call(state, null)).toEqual({ states: ['running'], write: 'busy' });
    await other.close();
    await expect.poll(() => call(state, null)).toEqual({ states: ['interrupted'], write: 'free' });
  });

  test('deletes a run with all of its files and nothing else', async ({ call }) => {
    const run = async ({ openDatabase, RunLibrary }: Storage, record: typeof RECORD) => {
      const database = await openDatabase();
      const library = new RunLibrary(database);
      for (const id of ['r', 'rr', 'r0']) {
        await library.put({ ...record, id, state: 'finished' });
        await library.addToLog(id, 0, [{ epoch: 1, step: 1, loss: 1 }]);
        await library.folder(id, id).write('f', new Uint8Array(10));
      }
      await library.delete('r');
      const ids = (await library.list()).map(({ id }) => id).sort();
      const files = await Promise.all(['r', 'rr', 'r0'].map((id) => library.folder(id, id).list()));
      return {
        ids,
        files: files.flat().length,
        shards: (await database.getAllKeys('shards')).length,
        log: await library.log('r'),
      };
    };
    expect(await call(run, RECORD)).toEqual({ ids: ['r0', 'rr'], files: 2, shards: 2, log: [] });
  });
});

describe('two tabs', () => {
  test('a run that trains keeps its database from a newer page, which is told to wait, and goes on', async ({
    call,
    page,
    url,
  }) => {
    const trainer = await page.context().newPage();
    await trainer.goto(`${url}blank`);
    const train = async ({ openDatabase, RunLibrary }: Storage, record: object) => {
      const library = new RunLibrary(await openDatabase());
      await library.put(record as never);
      await new Promise<void>((began) => {
        const running = new Promise<void>((end) => {
          Object.assign(globalThis, { end, library });
          began();
        });
        void library.withWriter('r', 'busy', () => running);
      });
    };
    await callIn(trainer)(train, RECORD);
    // The newer version asks for a newer database; this one's module stands for it once it is there.
    const upgrade = () => {
      const request = indexedDB.open('graft', 99);
      request.onsuccess = () => request.result.close();
      return new Promise<string>((resolve) => {
        request.onblocked = () => resolve('blocked');
        request.addEventListener('success', () => resolve('open'));
      });
    };
    expect(await page.evaluate(upgrade)).toBe('blocked');
    const log = async () => {
      const { library } = globalThis as unknown as { library: InstanceType<Storage['RunLibrary']> };
      await library.addToLog('r', 0, [{ epoch: 1, step: 1 }], { step: 1 });
      return (await library.log('r')).length;
    };
    expect(await trainer.evaluate(log)).toBe(1);
    const open = async ({ openDatabase }: Storage) =>
      openDatabase('graft', { blocked: 200, silent: 500 }).then(
        () => 'open',
        (error: Error) => `${error.name} ${error.message}`,
      );
    expect(await call(open, null)).toMatch(/^Graft:storage The browser's storage doesn't answer/);
    await trainer.evaluate(() => (globalThis as unknown as { end: () => void }).end());
    await expect.poll(() => call(open, null)).toMatch(/^Graft:storage .*newer version of Graft than this page/);
  });

  test('what one reads the other does not delete', async ({ call, page, url }) => {
    const reader = await page.context().newPage();
    await reader.goto(`${url}blank`);
    const lease = async ({ openDatabase, RunLibrary, KeptModels }: Storage, record: object) => {
      const database = await openDatabase();
      const library = new RunLibrary(database);
      await library.put({ ...record, state: 'finished' } as never);
      await database.put('models', { id: 'm', name: 'm', bytes: 0, fingerprint: '', createdAt: 0 });
      await library.lease('r');
      await new KeptModels(database).lease('m');
    };
    await callIn(reader)(lease, RECORD);
    const remove = async ({ openDatabase, RunLibrary, KeptModels }: Storage) => {
      const database = await openDatabase();
      const failed = (error: Error) => error.message;
      const run = await new RunLibrary(database).delete('r').catch(failed);
      const model = await new KeptModels(database).delete('m').catch(failed);
      return [run, model, (await database.count('runs')) + (await database.count('models'))];
    };
    const [run, model, left] = await call(remove, null);
    expect(run).toMatch(/answering or being read right now/);
    expect(model).toMatch(/being read right now, here or in another tab/);
    expect(left).toBe(2);
    await reader.close();
    await expect.poll(() => call(remove, null)).toEqual([undefined, undefined, 0]);
  });
});

describe('kept models', () => {
  test('are copied once, and a copy that was cut off leaves nothing', async ({ call }) => {
    const run = async ({ openDatabase, KeptModels }: Storage) => {
      const database = await openDatabase();
      const models = new KeptModels(database);
      const source = (bytes: number, real = bytes) => ({
        name: 'm',
        list: () => Promise.resolve(['w']),
        size: () => Promise.resolve(bytes),
        read: (_: string, start = 0, end = bytes) =>
          Promise.resolve(new Uint8Array(Math.min(end, real) - start).fill(5)),
      });
      const progress: number[] = [];
      const first = await models.keep(source(300), ['w'], 'print', (loaded) => progress.push(loaded));
      const second = await models.keep(source(300), ['w'], 'print', () => progress.push(-1));
      const short = await models
        .keep(source(300, 200), ['w'], 'other', () => undefined)
        .catch((error: Error) => error.name);
      const copied = await (await models.source(first.id)).read('w');
      // A tab that died in the middle of a copy left shards without an index entry.
      await database.put('shards', new Uint8Array(7), ['models/dead', 'v', 0]);
      await models.sweep();
      const shards = (await database.getAllKeys('shards')).map(([folder]) => folder);
      return {
        same: first.id === second.id,
        progress,
        short,
        copied: copied.length,
        shards: shards.length,
        kept: (await models.list()).length,
      };
    };
    expect(await call(run, null)).toEqual({
      same: true,
      progress: [300],
      short: 'Graft:bad-file',
      copied: 300,
      shards: 1,
      kept: 1,
    });
  });
});
