import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { readArguments } from '../../../src/cli/arguments';
import { cache as command } from '../../../src/cli/commands/cache';
import { folderCache, openWeightCache } from '../../../src/cli/model-cache';
import { Terminal } from '../../../src/cli/terminal';
import { expectError } from '../recipes/support';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'graft-cache-'));
  vi.stubEnv('GRAFT_CACHE', join(folder, 'cache'));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

async function keep(model: string): Promise<void> {
  const kept = await openWeightCache().open({ model, storage: 'bf16' });
  async function* leaves() {
    yield await Promise.resolve({ name: 'a', stored: 'f32' as const, shape: [4], start: 0, bytes: new Uint8Array(16) });
  }
  await kept.put({ name: 'a', origin: [], leaves: leaves() });
  await kept.finish();
  await kept.close();
}

/** Runs `graft cache …` and returns its JSON lines. */
async function run(...words: string[]): Promise<Record<string, unknown>[]> {
  const lines: string[] = [];
  const terminal = new Terminal({ write: (text) => lines.push(text) }, { write: () => 0 }, true);
  await command.run(readArguments(words, command.syntax), terminal, new AbortController().signal);
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe('graft cache', () => {
  it('lists, pins and deletes what is kept', async () => {
    expect(await run()).toEqual([]);
    await keep('one');
    await keep('two');
    const listed = await run('list');
    expect(listed).toMatchObject([{ bytes: 16, complete: true, pinned: false }, { storage: 'bf16' }]);
    const one = listed.find(({ model }) => model === 'one')!['id'] as string;
    await run('pin', one.slice(0, 8));
    expect((await run()).find(({ id }) => id === one)).toMatchObject({ pinned: true });
    expect(await run('delete', one)).toEqual([{ action: 'delete', id: one }]);
    expect(await run()).toMatchObject([{ model: 'two' }]);
    await run('delete', '--all');
    expect(await run()).toEqual([]);
  });

  it('says what it does not understand', async () => {
    await expectError(() => run('clear'), 'bad-config', /There is no graft cache clear/);
    await expectError(() => run('delete'), 'bad-config', /Name what to delete by its id/);
    await expectError(() => run('pin', 'ffff'), 'not-found', /No entry begins with ffff/);
  });
});

describe('weights of a folder', () => {
  const none = readArguments([], { flags: {}, positionals: 0, runKeys: false });
  const terminal = new Terminal({ write: () => 0 }, { write: () => 0 }, true);

  it('are kept in 4 bits, where the model is large and the user has nothing against it', async () => {
    const large = { name: folder, weightBytes: 2 ** 30 };
    const syntax = { flags: { 'no-cache': { help: '' } }, positionals: 0, runKeys: false };
    expect(await folderCache(none, large, true, terminal)).toBeDefined();
    expect(await folderCache(none, large, false, terminal)).toBeUndefined();
    expect(await folderCache(none, { ...large, weightBytes: 1e6 }, true, terminal)).toBeUndefined();
    expect(await folderCache(readArguments(['--no-cache'], syntax), large, true, terminal)).toBeUndefined();
  });

  it('are known by the names, sizes and times of its files', async () => {
    const identity = async () =>
      (await folderCache(none, { name: folder, weightBytes: 2 ** 30 }, true, terminal))!.model;
    const file = join(folder, 'model.safetensors');
    await writeFile(file, 'one');
    const before = await identity();
    expect(await identity()).toBe(before);
    await utimes(file, 1, 1);
    const touched = await identity();
    await writeFile(file, 'other');
    await utimes(file, 1, 1);
    expect(new Set([before, touched, await identity()]).size).toBe(3);
  });
});
