/** Kept weights against a real IndexedDB: what `test/unit/storage` shows of the cache, with the browser's own locks and quota. */
import { describe, expect } from 'vitest';
import { callIn, test, type Storage } from '../support/storage-page';

/** Parameters of one leaf each, of noise: browsers compress what they store. */
interface Wanted {
  readonly model: string;
  readonly parameters: readonly { readonly name: string; readonly size: number }[];
  readonly shardBytes: number;
  /** What becomes of the entry then. */
  readonly end: 'finish' | 'close' | 'leave';
}

/** Runs in the page. Returns what was said where there was no room. */
const keep = async ({ openDatabase, browserWeightCache }: Storage, wanted: Wanted) => {
  const cache = browserWeightCache(await openDatabase(), wanted.shardBytes);
  const kept = await cache.open({ model: wanted.model, storage: 's' });
  let offset = kept.files[0]?.offset ?? 0;
  let said = '';
  for (const { name, size } of wanted.parameters) {
    async function* leaves() {
      let state = name.charCodeAt(0);
      const bytes = Uint8Array.from(
        { length: size },
        () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 24,
      );
      yield await Promise.resolve({ name, stored: 'f32' as const, shape: [size / 4], start: 0, bytes });
    }
    offset += size;
    const progress = { file: 'f', offset, hash: Uint8Array.of(7) };
    await kept.put({ name, origin: [`${name} line`], leaves: leaves() }, progress).catch((error: Error) => {
      said = `${error.name} ${error.message}`;
    });
  }
  if (wanted.end === 'finish') await kept.finish();
  if (wanted.end !== 'leave') await kept.close();
  return { writable: kept.writable, said };
};

/** Runs in the page: what is held, and whether every byte is right. */
const look = async ({ openDatabase, browserWeightCache }: Storage, model: string) => {
  const database = await openDatabase();
  const cache = browserWeightCache(database);
  const kept = await cache.open({ model, storage: 's' });
  const bytes: Record<string, number> = {};
  let intact = true;
  const states: Record<string, number> = {};
  for await (const slice of kept.read()) {
    bytes[slice.name] = (bytes[slice.name] ?? 0) + slice.bytes.byteLength;
    let state = states[slice.name] ?? slice.name.charCodeAt(0);
    intact &&= slice.bytes.every((byte) => byte === (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 24);
    states[slice.name] = state;
  }
  const { complete, writable, names, files } = kept;
  await kept.close();
  const models = (await cache.list()).map((entry) => entry.model).sort();
  const shards = (await database.getAllKeys('weightShards')).length;
  return { complete, writable, names, offset: files[0]?.offset ?? 0, bytes, intact, models, shards };
};

const PARAMETERS = [
  { name: 'a', size: 2400 },
  { name: 'b', size: 400 },
  { name: 'c', size: 800 },
];

describe('kept weights', () => {
  test('survive a reload, and are swept of what a killed tab left', async ({ call, page }) => {
    await call(keep, { model: 'm', parameters: PARAMETERS, shardBytes: 1000, end: 'leave' });
    await page.reload();
    expect(await call(look, 'm')).toEqual({
      complete: false,
      writable: true,
      names: ['a', 'b'],
      offset: 2800,
      bytes: { a: 2400, b: 400 },
      intact: true,
      models: ['m'],
      shards: 3,
    });
    await call(keep, { model: 'm', parameters: PARAMETERS.slice(2), shardBytes: 1000, end: 'finish' });
    await page.reload();
    const whole = { complete: true, names: ['a', 'b', 'c'], offset: 3600, bytes: { a: 2400, b: 400, c: 800 } };
    expect(await call(look, 'm')).toMatchObject({ ...whole, intact: true, shards: 4 });
    const sweep = async ({ openDatabase, browserWeightCache }: Storage) => {
      const database = await openDatabase();
      await database.put('weightShards', new Uint8Array(9), ['dead', 'x']);
      await browserWeightCache(database).sweep();
      return (await database.getAllKeys('weightShards')).length;
    };
    expect(await call(sweep, null)).toBe(4);
  });

  test('lose what lies in a damaged shard, and no more', async ({ call }) => {
    await call(keep, { model: 'm', parameters: PARAMETERS, shardBytes: 1000, end: 'finish' });
    const damage = async ({ openDatabase }: Storage) => {
      const database = await openDatabase();
      const [entry] = await database.getAll('weights');
      const { name } = entry!.value.shards[0]!;
      await database.put('weightShards', new Uint8Array(1000), [entry!.id, name]);
    };
    await call(damage, null);
    expect(await call(look, 'm')).toMatchObject({ complete: false, names: ['b', 'c'], bytes: { b: 400, c: 800 } });
    expect(await call(look, 'm')).toMatchObject({ complete: false, names: ['b', 'c'], shards: 3 });
  });

  test('are written by one tab and read by others, and a tab that dies lets go', async ({ call, page, url }) => {
    const other = await page.context().newPage();
    await other.goto(`${url}blank`);
    await callIn(other)(keep, { model: 'm', parameters: PARAMETERS, shardBytes: 1000, end: 'leave' });
    expect(await call(look, 'm')).toMatchObject({ writable: false, names: ['a', 'b'], intact: true });
    const remove = async ({ openDatabase, browserWeightCache }: Storage) => {
      const cache = browserWeightCache(await openDatabase());
      const [entry] = await cache.list();
      return cache.delete(entry!.id).then(
        () => 'deleted',
        (error: Error) => error.message,
      );
    };
    expect(await call(remove, null)).toMatch(/in another tab/);
    await other.close();
    await expect.poll(async () => (await call(look, 'm')).writable).toBe(true);
    expect(await call(remove, null)).toBe('deleted');
    expect(await call(look, 'm')).toMatchObject({ names: [], models: [], shards: 0 });
  });

  test('make room for newer ones, and say so where there is none to make', async ({ call, page, url }) => {
    const session = await page.context().newCDPSession(page);
    const origin = new URL(url).origin;
    await session.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 4_000_000 });
    const of = (model: string, size: number) => ({
      model,
      parameters: [
        { name: 'a', size },
        { name: 'b', size },
      ],
      shardBytes: 500_000,
      end: 'finish' as const,
    });
    expect((await call(keep, of('old', 800_000))).said).toBe('');
    expect((await call(keep, of('new', 800_000))).said).toBe('');
    expect((await call(keep, of('newer', 800_000))).said).toBe('');
    expect(await call(look, 'newer')).toMatchObject({ complete: true, intact: true, models: ['new', 'newer'] });
    const { said } = await call(keep, of('giant', 4_000_000));
    expect(said).toMatch(/^Graft:storage There is no room left to keep the weights/);
    const left = await call(look, 'giant');
    expect(left).toMatchObject({ complete: false, intact: true, models: ['giant'] });
  });
});

describe('what opening a model read', () => {
  test('is kept under its identity, and revisions under their names', async ({ call, page }) => {
    const put = async ({ openDatabase, BrowserOpenings }: Storage) => {
      const openings = new BrowserOpenings(await openDatabase());
      const reads = [{ file: 'config.json', start: 0, bytes: Uint8Array.of(1, 2) }];
      const sizes = [{ file: 'x', size: undefined }];
      await openings.keepOpening('m@1', { files: ['config.json'], sizes, hashes: [], reads });
      await openings.keepRevision('https://hub/m', 'main', { commit: '1'.repeat(40), seenAt: 5 });
    };
    await call(put, null);
    await page.reload();
    const get = async ({ openDatabase, BrowserOpenings }: Storage) => {
      const openings = new BrowserOpenings(await openDatabase());
      const opening = await openings.opening('m@1');
      return {
        bytes: [...opening!.reads[0]!.bytes],
        absent: opening!.sizes[0]!.size === undefined,
        other: (await openings.opening('m@2')) === undefined,
        revision: await openings.revision('https://hub/m', 'main'),
      };
    };
    expect(await call(get, null)).toEqual({
      bytes: [1, 2],
      absent: true,
      other: true,
      revision: { commit: '1'.repeat(40), seenAt: 5 },
    });
  });

  test('counts as not kept where a bit of it differs', async ({ call }) => {
    const run = async ({ openDatabase, BrowserOpenings }: Storage) => {
      const database = await openDatabase();
      const openings = new BrowserOpenings(database);
      const reads = [{ file: 'config.json', start: 0, end: 2, bytes: Uint8Array.of(1, 2) }];
      await openings.keepOpening('m@1', { sizes: [{ file: 'config.json', size: 2 }], hashes: [], reads });
      const record = (await database.get('openings', 'm@1'))!;
      const found: boolean[] = [];
      for (const change of [
        {},
        { reads: [{ ...reads[0]!, bytes: Uint8Array.of(1, 3) }] },
        { reads: [{ ...reads[0]!, start: 1 }] },
        { sizes: [{ file: 'config.json', size: 3 }] },
        { sha256: '' },
      ]) {
        await database.put('openings', { ...record, ...change }, 'm@1');
        found.push((await openings.opening('m@1')) !== undefined);
      }
      return found;
    };
    expect(await call(run, null)).toEqual([true, false, false, false, false]);
  });
});

describe('the database of an earlier version', () => {
  test('keeps its runs, and takes weights', async ({ call }) => {
    const run = async ({ openDatabase, RunLibrary, browserWeightCache }: Storage) => {
      await new Promise<void>((resolve, reject) => {
        const request = indexedDB.open('graft', 1);
        request.onupgradeneeded = () => {
          for (const name of ['runs', 'logs', 'models']) request.result.createObjectStore(name, { keyPath: 'id' });
          request.result.createObjectStore('files', { keyPath: ['folder', 'name'] });
          for (const name of ['workspace', 'shards']) request.result.createObjectStore(name);
        };
        request.onsuccess = () => {
          const transaction = request.result.transaction('runs', 'readwrite');
          transaction.objectStore('runs').put({ id: 'r', createdAt: 1, state: 'finished' });
          transaction.oncomplete = () => {
            request.result.close();
            resolve();
          };
        };
        request.onerror = () => reject(request.error!);
      });
      const database = await openDatabase();
      const runs = (await new RunLibrary(database).list()).map(({ id }) => id);
      return { runs, weights: await browserWeightCache(database).list() };
    };
    expect(await call(run, null)).toEqual({ runs: ['r'], weights: [] });
  });
});
