import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { GraftError } from '../../../src/core/errors';
import type { CachedWeights } from '../../../src/core/weight-cache';
import type { FileProgress, StoredSlice } from '../../../src/core/weights';
import { FolderBackend } from '../../../src/cli/weight-folder';
import { ShardedWeightCache, type CacheBackend, type EntryRow } from '../../../src/storage/weights';
import { MemoryBackend } from '../../support/memory-backend';
import { expectError } from '../recipes/support';

const KEY = { model: 'm@1', storage: 'f32' };
const SHARD = 100;

function bytesOf(name: string, size: number): Uint8Array {
  const seed = [...name].reduce((sum, char) => sum + char.charCodeAt(0), 0);
  return Uint8Array.from({ length: size }, (_, i) => (i * 7 + seed) % 251);
}

/** A parameter of one leaf, in pieces of 40 bytes. */
function parameter(name: string, size: number) {
  async function* leaves(): AsyncGenerator<StoredSlice> {
    const bytes = bytesOf(name, size);
    for (let start = 0; start < size; start += 40) {
      yield { name, stored: 'f32', shape: [size / 4], start, bytes: bytes.subarray(start, start + 40) };
    }
  }
  return { name, origin: [`${name} line\n`], leaves: leaves() };
}

const at = (offset: number, file = 'f'): FileProgress => ({ file, offset, hash: Uint8Array.of(offset % 256) });

/** The leaves that come whole, by name. */
async function readAll(kept: CachedWeights): Promise<Map<string, Uint8Array>> {
  const leaves = new Map<string, Uint8Array>();
  for await (const { name, shape, start, bytes } of kept.read()) {
    const leaf = leaves.get(name) ?? new Uint8Array(4 * shape[0]!);
    leaf.set(bytes, start);
    leaves.set(name, leaf);
  }
  return leaves;
}

async function entryOf(backend: CacheBackend, id: string) {
  return ((await backend.row(id)) as EntryRow | undefined)?.value;
}

async function fill(cache: ShardedWeightCache, key = KEY, names = ['a', 'b', 'c', 'd']): Promise<void> {
  const kept = await cache.open(key);
  for (const [i, name] of names.entries()) await kept.put(parameter(name, 80), at(80 * (i + 1)));
  await kept.finish();
  await kept.close();
}

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'graft-cache-'));
  folders.push(folder);
  return folder;
}

const backends: [string, () => Promise<CacheBackend>][] = [
  ['memory', () => Promise.resolve(new MemoryBackend())],
  ['a folder', async () => new FolderBackend(join(await temporaryFolder(), 'graft'))],
];

describe.each(backends)('weights kept in %s', (_, create) => {
  it('come back as they were put, across shards, with their origin and progress', async () => {
    const backend = await create();
    const cache = new ShardedWeightCache(backend, SHARD);
    const empty = await cache.open(KEY);
    expect([empty.complete, empty.writable, empty.names, empty.files]).toEqual([false, true, [], []]);
    await empty.put(parameter('a', 240), at(240));
    await empty.put(parameter('b', 20), at(260));
    await empty.put(parameter('c', 40), at(10, 'g'));
    await empty.finish();
    await empty.close();

    const kept = await cache.open(KEY);
    expect([kept.complete, kept.names]).toEqual([true, ['a', 'b', 'c']]);
    expect(kept.files).toEqual([at(260), at(10, 'g')]);
    expect([kept.origin('b'), kept.origin('x')]).toEqual([['b line\n'], []]);
    const leaves = await readAll(kept);
    for (const [name, size] of [
      ['a', 240],
      ['b', 20],
      ['c', 40],
    ] as const)
      expect(leaves.get(name), name).toEqual(bytesOf(name, size));
    await kept.close();
    expect((await backend.shards()).length).toBe(3);
    const other = await cache.open({ ...KEY, storage: 'bf16' });
    expect(other.names).toEqual([]);
    await other.close();
  });

  it('go on from the last durable shard where a loader was killed, and sweep what it left', async () => {
    const backend = await create();
    const cache = new ShardedWeightCache(backend, SHARD);
    const killed = await cache.open(KEY);
    await killed.put(parameter('a', 80), at(80));
    await killed.put(parameter('b', 240), at(320)); // two shards are durable by now, and the rest of b is not
    const next = await cache.open(KEY);
    expect([next.writable, next.complete, next.names, next.files]).toEqual([false, false, ['a'], [at(80)]]);
    expect([...(await readAll(next)).keys()]).toEqual(['a']);
    await next.close();
    await killed.close(); // an orderly end keeps all of it
    const after = await cache.open(KEY);
    expect([after.names, after.files, after.complete]).toEqual([['a', 'b'], [at(320)], false]);
    expect((await readAll(after)).get('b')).toEqual(bytesOf('b', 240));
    await after.close();
  });

  it('lose what a damaged shard held, and take it again', async () => {
    const backend = await create();
    const cache = new ShardedWeightCache(backend, SHARD);
    await fill(cache);
    const { id } = (await cache.list())[0]!;
    const [, second] = (await entryOf(backend, id))!.shards;
    const row = (await backend.row(id)) as EntryRow;
    await backend.put(row, { name: second!.name, bytes: new Uint8Array(SHARD) });

    const kept = await cache.open(KEY);
    expect(kept.complete).toBe(true);
    await readAll(kept);
    expect([kept.complete, kept.names]).toEqual([false, ['a', 'd']]);
    expect(kept.origin('b')).toEqual(['b line\n']);
    await kept.put(parameter('b', 80));
    await kept.put(parameter('c', 80));
    await kept.finish();
    await kept.close();

    const again = await cache.open(KEY);
    expect([again.complete, again.files]).toEqual([true, [at(320)]]);
    const leaves = await readAll(again);
    for (const name of ['a', 'b', 'c', 'd']) expect(leaves.get(name), name).toEqual(bytesOf(name, 80));
    await again.close();
  });

  it('are listed, pinned, and deleted when nobody writes them', async () => {
    const backend = await create();
    const cache = new ShardedWeightCache(backend, SHARD);
    await fill(cache);
    const [listed] = await cache.list();
    expect(listed).toMatchObject({ ...KEY, bytes: 320, complete: true, pinned: false });
    await cache.pin(listed!.id, true);
    const kept = await cache.open(KEY);
    await expectError(() => cache.delete(listed!.id), 'storage', /being loaded right now/);
    await expectError(() => cache.pin(listed!.id, false), 'storage', /being loaded right now/);
    const before = await backend.row(listed!.id);
    await (await cache.open(KEY)).close(); // a second reader leaves the entry to its writer
    expect(await backend.row(listed!.id)).toEqual(before);
    await kept.put(parameter('e', 120), at(440));
    await kept.close();
    expect(await cache.list()).toMatchObject([{ bytes: 440, pinned: true }]);
    await cache.delete(listed!.id);
    expect([await cache.list(), await backend.shards()]).toEqual([[], []]);
  });

  it('are forgotten whole where a file was not what it should be', async () => {
    const backend = await create();
    const cache = new ShardedWeightCache(backend, SHARD);
    const kept = await cache.open(KEY);
    await kept.put(parameter('a', 240), at(240));
    await kept.discard();
    await kept.put(parameter('b', 240), at(480));
    await kept.close();
    expect([await cache.list(), await backend.shards()]).toEqual([[], []]);
  });
});

describe('an index with one digit changed', () => {
  /** Where digits stand in a text, every third of them. */
  const digits = (text: string) => [...text.matchAll(/\d/g)].map(({ index }) => index).filter((_, i) => i % 3 === 0);
  const turn = (text: string, at: number) => `${text.slice(0, at)}${(Number(text[at]) + 1) % 10}${text.slice(at + 1)}`;

  it('is told, forgotten whole, and loaded anew', async () => {
    const root = await temporaryFolder();
    const cache = new ShardedWeightCache(new FolderBackend(root), SHARD);
    await fill(cache);
    const { id } = (await cache.list())[0]!;
    const file = join(root, id, 'entry.json');
    const text = await readFile(file, 'utf8');
    for (const at of digits(text)) {
      await mkdir(join(root, id), { recursive: true });
      await writeFile(file, turn(text, at));
      const kept = await cache.open(KEY);
      const found = [kept.isDamaged, kept.complete, kept.names, kept.files, kept.origin('a')];
      expect(found, text.slice(at - 20, at + 5)).toEqual([true, false, [], [], []]);
      await kept.close();
      expect(await readdir(root)).not.toContain(id);
    }
    await fill(cache);
    const whole = await cache.open(KEY);
    expect([whole.isDamaged, whole.complete]).toEqual([false, true]);
    await whole.close();
  });

  it('keeps its row without its shards when it is swept, and goes first where room is needed', async () => {
    const backend = new MemoryBackend();
    const cache = new ShardedWeightCache(backend, SHARD);
    await fill(cache, { ...KEY, model: 'other' });
    await fill(cache);
    const row = [...backend.held.values()].find(({ value }) => value.model === KEY.model)!;
    backend.held.set(row.id, { ...row, value: { ...row.value, usedAt: row.value.usedAt + 1 } });
    expect((await cache.list()).map(({ model }) => model)).toEqual(['other']);
    await expectError(() => cache.pin(row.id, true), 'not-found', /not kept any more/);
    backend.room = [...backend.bytes.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
    await fill(cache, { ...KEY, model: 'needy' });
    expect((await cache.list()).map(({ model }) => model).sort()).toEqual(['needy', 'other']);
    backend.held.set(row.id, row);
    backend.bytes.set(`${row.id}/x`, new Uint8Array(9));
    backend.held.set(row.id, { ...row, sha256: '' });
    await cache.sweep();
    expect([...backend.held.keys()]).toContain(row.id);
    expect([...backend.bytes.keys()].filter((key) => key.startsWith(row.id))).toEqual([]);
    const kept = await cache.open(KEY);
    expect(kept.isDamaged).toBe(true);
    await kept.close();
  });

  it('under another key is none', async () => {
    const backend = new MemoryBackend();
    const cache = new ShardedWeightCache(backend, SHARD);
    await fill(cache);
    await fill(cache, { ...KEY, model: 'other' });
    const [one, other] = [...backend.held.values()];
    backend.held.set(other!.id, { ...one!, id: other!.id });
    const kept = await cache.open({ ...KEY, model: other!.value.model });
    expect([kept.isDamaged, kept.names]).toEqual([true, []]);
    await kept.close();
  });
});

describe('where there is no room', () => {
  it('the entry that was not used for longest goes, but for pinned ones', async () => {
    const backend = new MemoryBackend(1000);
    const cache = new ShardedWeightCache(backend, SHARD);
    for (const model of ['old', 'pinned', 'new']) {
      await fill(cache, { ...KEY, model });
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    const old = (await cache.list()).find(({ model }) => model === 'pinned')!;
    await cache.pin(old.id, true);
    const models = async () => (await cache.list()).map(({ model }) => model).sort();
    await fill(cache, { ...KEY, model: 'newer' });
    expect(await models()).toEqual(['new', 'newer', 'pinned']);
    const held = await cache.open({ ...KEY, model: 'new' }); // in use: it stays as well
    await fill(cache, { ...KEY, model: 'newest' });
    expect(await models()).toEqual(['new', 'newest', 'pinned']);
    await held.close();
  });

  it('a write that finds nothing to delete fails, and what was kept before stays', async () => {
    const backend = new MemoryBackend(250);
    const cache = new ShardedWeightCache(backend, SHARD);
    const kept = await cache.open(KEY);
    await kept.put(parameter('a', 200), at(200));
    await expectError(() => kept.put(parameter('b', 200), at(400)), 'storage', /no room/);
    await kept.put(parameter('c', 20), at(420)); // not tried any more
    await kept.finish();
    await kept.close();
    const after = await cache.open(KEY);
    expect([after.complete, after.names, after.files]).toEqual([false, ['a'], [at(200)]]);
    await after.close();
  });
});

describe('a backend that refuses', () => {
  /** Refuses what is named, with no word of room. */
  class Refusing extends MemoryBackend {
    readonly refused = new Set<'put' | 'removeShards'>();
    unreadable = '';

    override put(...input: Parameters<MemoryBackend['put']>) {
      return this.refused.has('put') ? refuse() : super.put(...input);
    }
    override removeShards(...input: Parameters<MemoryBackend['removeShards']>) {
      return this.refused.has('removeShards') ? refuse() : super.removeShards(...input);
    }
    override readShard(id: string, name: string) {
      return name === this.unreadable ? refuse() : super.readShard(id, name);
    }
  }
  const refuse = () => Promise.reject(new GraftError('storage', 'The disk is read-only.'));

  it('to be written to is read all the same', async () => {
    const backend = new Refusing();
    const cache = new ShardedWeightCache(backend, SHARD);
    await fill(cache);
    backend.refused.add('put').add('removeShards');
    const kept = await cache.open(KEY);
    expect([kept.complete, [...(await readAll(kept)).keys()]]).toEqual([true, ['a', 'b', 'c', 'd']]);
    await kept.close();
  });

  it.each([false, true])(
    'to read a shard has lost what lies in it (nor can it be written to: %s)',
    async (readOnly) => {
      const backend = new Refusing();
      const cache = new ShardedWeightCache(backend, SHARD);
      await fill(cache);
      backend.unreadable = backend.entries()[0]!.shards[1]!.name;
      if (readOnly) backend.refused.add('put').add('removeShards');
      const kept = await cache.open(KEY);
      await readAll(kept);
      expect([kept.complete, kept.names]).toEqual([false, ['a', 'd']]);
      await kept.put(parameter('b', 80));
      if (readOnly) await expectError(() => kept.put(parameter('c', 80)), 'storage', /read-only/);
      else await kept.put(parameter('c', 80));
      await kept.finish();
      await kept.close();
      expect(backend.entries()[0]).toMatchObject({ complete: true });
    },
  );
});

describe('a folder of kept weights', () => {
  it('survives damaged files, and is swept of what no entry tells of', async () => {
    const root = await temporaryFolder();
    const cache = new ShardedWeightCache(new FolderBackend(root), SHARD);
    await fill(cache);
    const { id } = (await cache.list())[0]!;
    const files = (await readdir(join(root, id))).filter((file) => file.endsWith('.shard'));
    await truncate(join(root, id, files[0]!), 5);
    await writeFile(join(root, id, 'orphan.shard'), 'x');
    await writeFile(join(root, id, 'torn.shard.partial'), 'x');
    await cache.sweep();
    expect((await readdir(join(root, id))).sort()).toEqual(['entry.json', ...files].sort());
    await writeFile(join(root, id, 'entry.json'), '{"id":');
    expect(await cache.list()).toEqual([]);
    await writeFile(join(root, id, 'entry.json'), '{"usedAt":1}');
    expect(await cache.list()).toEqual([]);
    await cache.sweep();
    expect(await readdir(join(root, id))).toEqual(['entry.json']);
    await fill(cache);
    expect(await cache.list()).toHaveLength(1);
  });
});
