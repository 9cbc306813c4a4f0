/** Damaged things that are kept: weights, openings and choices in both places, and the rows of the page's database. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { kernelChoicesIn } from '../../src/cli/kernel-choices';
import { FolderOpenings } from '../../src/cli/opening-folder';
import { FolderBackend } from '../../src/cli/weight-folder';
import { FolderStore } from '../../src/cli/folders';
import { encodeUtf8 } from '../../src/core/store';
import type { StoredSlice } from '../../src/core/weights';
import {
  BrowserOpenings,
  browserWeightCache,
  KeptModels,
  RunLibrary,
  SettingsStore,
  TabStore,
  type Database,
} from '../../src/storage/indexeddb';
import { ShardedWeightCache } from '../../src/storage/weights';
import { freshDatabase } from '../support/browser-storage';
import { countingSource, runRecord } from '../unit/storage/support';
import { fuzz } from './harness';
import { mutateBytes, mutateJson } from './mutate';
import type { Random } from './random';

const KEY = { model: 'm@1', storage: 'f32' };
const OPENING = {
  files: ['config.json'],
  sizes: [{ file: 'config.json', size: 2 }],
  hashes: [{ file: 'w', sha256: 'a'.repeat(64) }],
  reads: [{ file: 'config.json', start: 0, bytes: Uint8Array.of(1, 2) }],
};

const folders: string[] = [];
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'graft-fuzz-'));
  folders.push(folder);
  return folder;
}

/** Two parameters in shards of 100 bytes. */
async function fillCache(cache: ShardedWeightCache): Promise<void> {
  const kept = await cache.open(KEY);
  for (const [i, name] of ['a', 'b'].entries()) {
    async function* leaves(): AsyncGenerator<StoredSlice> {
      yield { name, stored: 'f32', shape: [20], start: 0, bytes: new Uint8Array(80).fill(i) };
    }
    const progress = { file: 'f', offset: 80 * (i + 1), hash: Uint8Array.of(i) };
    await kept.put({ name, origin: [`${name} line\n`], leaves: leaves() }, progress);
  }
  await kept.finish();
  await kept.close();
}

/** What a load does with a cache. Weights that are read are those that were put, or none. */
async function readCache(cache: ShardedWeightCache): Promise<void> {
  await cache.list();
  const kept = await cache.open(KEY);
  try {
    for await (const { name, bytes } of kept.read()) {
      const wanted = name === 'a' ? 0 : 1;
      if (bytes.some((byte) => byte !== wanted)) throw new Error(`${name} is read with bytes that it never had`);
    }
    for (const name of kept.names) {
      if (kept.origin(name).join() !== `${name} line\n`)
        throw new Error(`${name} has another digest than it was put with`);
    }
  } finally {
    await kept.close();
  }
}

fuzz<Uint8Array>('entry of kept weights in a folder', async () => {
  const folder = await temporaryFolder();
  const backend = new FolderBackend(folder);
  const cache = new ShardedWeightCache(backend, 100);
  await fillCache(cache);
  const [id] = await backend.ids();
  const store = new FolderStore(join(folder, id!));
  const good = (await store.read('entry.json'))!;
  const text = new TextDecoder().decode(good);
  const shards = await Promise.all(
    (await backend.shards()).map(async ({ name }) => [name, (await backend.readShard(id!, name))!] as const),
  );
  return {
    make: (random) => (random.chance(0.3) ? mutateBytes(good, random) : mutateJson(text, random)),
    async read(bytes) {
      await mkdir(store.name, { recursive: true });
      for (const [name, shard] of shards) await writeFile(join(store.name, `${name}.shard`), shard);
      await writeFile(join(store.name, 'entry.json'), bytes);
      await readCache(cache);
    },
    bytes: (bytes) => bytes,
  };
});

/** A file of a folder of small files, which is damaged and asked for. */
function fuzzFile(name: string, write: (folder: string) => Promise<void>, read: (folder: string) => Promise<unknown>) {
  fuzz<Uint8Array>(name, async () => {
    const folder = await temporaryFolder();
    await write(folder);
    const store = new FolderStore(folder);
    const [file] = await store.list();
    const good = (await store.read(file!))!;
    let text: string | undefined;
    try {
      JSON.parse((text = new TextDecoder().decode(good)));
    } catch {
      text = undefined;
    }
    return {
      make: (random) =>
        text === undefined || random.chance(0.3) ? mutateBytes(good, random) : mutateJson(text, random),
      async read(bytes) {
        await writeFile(join(folder, file!), bytes);
        await read(folder);
      },
      bytes: (bytes) => bytes,
    };
  });
}

fuzzFile(
  'opening of a model in a folder',
  (folder) => new FolderOpenings(folder).keepOpening('m@1', OPENING),
  (folder) => new FolderOpenings(folder).opening('m@1'),
);
fuzzFile(
  'revision in a folder',
  (folder) => new FolderOpenings(folder).keepRevision('h/m', 'main', { commit: 'c'.repeat(40), seenAt: 3 }),
  (folder) => new FolderOpenings(folder).revision('h/m', 'main'),
);
fuzzFile(
  'kernel choices in a folder',
  (folder) => kernelChoicesIn(folder).write('card', { 'f32 8': { name: 'tile' } }),
  (folder) => kernelChoicesIn(folder).read('card'),
);

/** A value as a database may hold it: the good one with parts of it swapped for others, some of which JSON has no word for. */
function mutateValue(value: unknown, random: Random): unknown {
  if (typeof value === 'object' && value !== null && !(value instanceof Uint8Array) && !random.chance(0.15)) {
    const keys = Object.keys(value);
    if (keys.length > 0) {
      const key = random.pick(keys);
      const items = value as Record<string, unknown>;
      if (Array.isArray(value))
        return value.map((item: unknown, i) => (String(i) === key ? mutateValue(item, random) : item));
      if (random.chance(0.2)) return Object.fromEntries(Object.entries(items).filter(([name]) => name !== key));
      return { ...items, [key]: mutateValue(items[key], random) };
    }
  }
  if (value instanceof Uint8Array && random.chance(0.5)) return mutateBytes(value, random);
  if (typeof value === 'number' && random.chance(0.5)) return value + random.pick([1, -1, 0.5, NaN, Infinity, 2 ** 53]);
  if (typeof value === 'string' && random.chance(0.5))
    return value.replace(/\w/, (letter) => (letter === 'a' ? 'b' : 'a'));
  return random.pick<unknown>([
    ...[
      undefined,
      null,
      true,
      0,
      -1,
      1.5,
      NaN,
      10n,
      '',
      'x',
      'running',
      [],
      {},
      [null],
      [[]],
      { name: 5 },
      { length: 9 },
    ],
    ...[new Date(0), new Map([['a', 1]]), new Uint8Array(3), new ArrayBuffer(4), new Blob(['x']), /x/],
  ]);
}

const TABLES = [
  ...(['runs', 'logRows', 'models', 'files', 'shards', 'workspace', 'weights', 'weightShards'] as const),
  ...(['openings', 'revisions'] as const),
];
type Table = (typeof TABLES)[number];

/** The first row of each table of a page that was used, and reading all of them as the page does. */
fuzz<{ table: Table; value: unknown }>('row of the page’s database', async () => {
  const database: Database = await freshDatabase();
  const library = new RunLibrary(database);
  const models = new KeptModels(database);
  const openings = new BrowserOpenings(database);
  const settings = new SettingsStore(database);
  const tabs = new TabStore(database);
  const cache = browserWeightCache(database, 100);
  const summary = { steps: 1, epochs: 1, trainLoss: 1, bestEvalLoss: null, stopped: 'finished' as const, seconds: 1 };
  await library.put(runRecord('r', { summary }));
  await library.addToLog('r', 0, [{ epoch: 1, step: 1, loss: 1 }]);
  const { id } = await models.keep(countingSource(300), ['w'], 'print', () => undefined);
  await openings.keepOpening('m@1', OPENING);
  await openings.keepRevision('h/m', 'main', { commit: 'c'.repeat(40), seenAt: 3 });
  await tabs.setDataset({ name: 'a' }, { id: '1', name: 'd.jsonl', content: new Blob(['{}']) });
  await settings.kernelChoices().write('card', { 'f32 8': { name: 'tile' } });
  await fillCache(cache);
  const rows = new Map<Table, { key: IDBValidKey; value: unknown; isInline: boolean }[]>();
  for (const table of TABLES) {
    const transaction = database.transaction(table);
    const isInline = transaction.store.keyPath !== null;
    const [keys, values] = await Promise.all([transaction.store.getAllKeys(), transaction.store.getAll()]);
    rows.set(
      table,
      keys.map((key, i) => ({ key, value: values[i], isInline })),
    );
  }
  /** All tables as they were, but for one value. */
  const restore = async (damaged: Table, value: unknown) => {
    for (const [table, found] of rows) {
      const transaction = database.transaction(table, 'readwrite');
      await transaction.store.clear();
      for (const [i, row] of found.entries()) {
        let written = row.value;
        if (table === damaged && i === found.length - 1) {
          // The key stands in the value, and can't be damaged by itself.
          const named = row.value as Record<string, unknown>;
          written = !row.isInline
            ? value
            : typeof value === 'object' && value !== null && !Array.isArray(value)
              ? {
                  ...value,
                  ...(table === 'files' ? { folder: named['folder'], name: named['name'] } : { id: named['id'] }),
                }
              : { id: named['id'], folder: named['folder'], name: named['name'] };
        }
        await transaction.store.put(written, ...(row.isInline ? [] : [row.key as never]));
      }
      await transaction.done;
    }
  };
  return {
    make: (random) => {
      const table = random.pick(TABLES);
      let value = rows.get(table)!.at(-1)!.value;
      for (let changes = random.length(3); changes > 0; changes--) value = mutateValue(value, random);
      return { table, value };
    },
    async read({ table, value }) {
      await restore(table, value);
      await library.list();
      await library.get('r');
      await library.log('r');
      await library.update('r', { name: 'other' });
      await models.list();
      await models.sweep();
      await openings.opening('m@1');
      await openings.revision('h/m', 'main');
      await settings.kernelChoices().read('card');
      await cache.sweep();
      await readCache(cache);
      await models.delete('nothing');
      const source = await models.source(id);
      for (const read of [() => tabs.dataset({ name: 'a' }, ['a']), () => source.list(), () => source.read('w')])
        await read();
      await models.delete(id);
      await library.delete('r');
    },
    bytes: ({ table, value }) => encodeUtf8(`${table} ${String(JSON.stringify(value, bigAsText))}`),
    readable: 0.5,
  };
});

function bigAsText(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? `${value}n` : value;
}
