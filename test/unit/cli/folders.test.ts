import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { makeFolder } from '../../../src/cli/disk';
import { FolderStore, openFolder } from '../../../src/cli/folders';
import { lockFile, withFolderLock } from '../../../src/cli/lock';
import { expectError } from '../recipes/support';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'graft-folders-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

describe('a folder to read', () => {
  test('gives sizes and ranges, and nothing of sub-folders', async () => {
    writeFileSync(join(root, 'a.bin'), Uint8Array.of(1, 2, 3, 4));
    mkdirSync(join(root, 'sub'));
    const folder = await openFolder(root);
    expect(await folder.list()).toEqual(['a.bin']);
    expect([await folder.size('a.bin'), await folder.size('b.bin'), await folder.size('sub')]).toEqual([
      4,
      undefined,
      undefined,
    ]);
    expect([...(await folder.read('a.bin'))]).toEqual([1, 2, 3, 4]);
    expect([...(await folder.read('a.bin', 1, 3))]).toEqual([2, 3]);
    expect([...(await folder.read('a.bin', 3, 99))]).toEqual([4]);
    expect([...(await folder.read('a.bin', 9))]).toEqual([]);
  });

  test('that is not there, or a file, is named', async () => {
    writeFileSync(join(root, 'file'), 'x');
    await expectError(() => openFolder(join(root, 'none')), 'not-found', /There is no folder .*none/);
    await expectError(() => openFolder(join(root, 'file')), 'not-found', /is a file/);
    await expectError(async () => (await openFolder(root)).read('gone'), 'not-found', /has no file gone/);
  });
});

describe('a run’s folder', () => {
  test('tells sizes, and is read by ranges', async () => {
    const store = new FolderStore(root);
    await store.write('a', Uint8Array.of(1, 2, 3, 4));
    expect([await store.size('a'), await store.size('b')]).toEqual([4, undefined]);
    expect([...(await store.readAt('a', 1, 3))]).toEqual([2, 3]);
    await expectError(() => store.readAt('b', 0, 1), 'storage', /b in .* can't be read/);
  });

  test('is made by the first write and holds whole files only', async () => {
    const store = new FolderStore(join(root, 'deep/run'));
    expect(await store.list()).toEqual([]);
    expect(await store.read('a')).toBeUndefined();
    await store.write('a', Uint8Array.of(1, 2));
    await store.write('a', Uint8Array.of(3));
    expect([...(await store.read('a'))!]).toEqual([3]);
    expect(readdirSync(store.name)).toEqual(['a']);
    await store.remove('a');
    await store.remove('a');
    expect(await store.list()).toEqual([]);
  });

  test('what a cut-off write has left is neither listed nor in the way', async () => {
    const store = new FolderStore(root);
    await store.write('a', Uint8Array.of(1));
    writeFileSync(join(root, 'a.partial'), 'half');
    expect(await store.list()).toEqual(['a']);
    await store.write('a', Uint8Array.of(2));
    expect([...(await store.read('a'))!]).toEqual([2]);
    expect(existsSync(join(root, 'a.partial'))).toBe(false);
  });

  test('writes of one file at once are each whole', async () => {
    const store = new FolderStore(root);
    const own = `a.${process.ppid}-0.partial`; // of a process that runs
    writeFileSync(join(root, own), 'half');
    const versions = Array.from({ length: 8 }, (_, i) => new Uint8Array(100_000).fill(i));
    await Promise.all(versions.map((bytes) => store.write('a', bytes)));
    expect(versions).toContainEqual(new Uint8Array((await store.read('a'))!));
    expect(readdirSync(root).sort()).toEqual(['a', own]);
  });

  test('a write that fails keeps the file and says why', async () => {
    writeFileSync(join(root, 'file'), 'x');
    await expectError(
      () => new FolderStore(join(root, 'file')).write('a', Uint8Array.of(1)),
      'storage',
      /The folder .*file can't be made: there is a file of that name\. Name another one\./,
    );
    const store = new FolderStore(root);
    await store.write('a', Uint8Array.of(1));
    mkdirSync(join(root, `a.${process.pid}-0.partial`));
    await expectError(
      () => store.write('a', Uint8Array.of(2)),
      'storage',
      /a can't be written to .*: there is a folder of that name\./,
    );
    expect([...readFileSync(join(root, 'a'))]).toEqual([1]);
  });

  test('a folder is made level by level', () => {
    expect(makeFolder(join(root, 'a/b/c'))).toBe(true);
    expect(makeFolder(join(root, 'a/b/c'))).toBe(false);
    expect(readdirSync(join(root, 'a/b'))).toEqual(['c']);
    symlinkSync(join(root, 'nowhere'), join(root, 'link'));
    expect(() => makeFolder(join(root, 'link'))).toThrow(/link can't be made: there is a file of that name/);
    expect(() => makeFolder(join(root, 'x'.repeat(300)))).toThrow(/can't be made: its name is too long\./);
  });

  test.skipIf(process.platform !== 'linux')('where no folders can be made it is said, and nothing hangs', async () => {
    expect(() => makeFolder('/proc/x')).toThrow("The folder /proc/x can't be made: no folders can be made there.");
    const write = () => new FolderStore('/proc/x/y').write('a', Uint8Array.of(1));
    await expectError(write, 'storage', /^The folder \/proc\/x\/y can't be made: no folders can be made there\./);
    await expectError(() => withFolderLock('/proc/x', () => Promise.resolve()), 'storage', /can't be made/);
    expect(await lockFile('/proc/x/lock')).toBeUndefined();
  });

  test.skipIf(process.getuid?.() === 0)('a folder that may not be written to is named', async () => {
    chmodSync(root, 0o500);
    await expectError(() => new FolderStore(root).write('a', Uint8Array.of(1)), 'storage', /you may not/);
    chmodSync(root, 0o700);
  });
});
