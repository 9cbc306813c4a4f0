import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LOCK_FILE, lockFile, withFolderLock } from '../../../src/cli/lock';
import { expectError } from '../recipes/support';

let root: string;
const lock = () => join(root, LOCK_FILE);
beforeEach(() => (root = mkdtempSync(join(tmpdir(), 'graft-lock-'))));
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** The id of a process that is over. */
function formerProcess(): number {
  return spawnSync(process.execPath, ['-e', '']).pid;
}

describe("a folder's lock", () => {
  test('holds the process id while the action runs, and goes with it, whatever becomes of it', async () => {
    const held = await withFolderLock(root, () => Promise.resolve(readFileSync(lock(), 'utf8')));
    expect(held).toBe(`${process.pid}\n`);
    expect(existsSync(lock())).toBe(false);
    await expect(withFolderLock(root, () => Promise.reject(new Error('it failed')))).rejects.toThrow('it failed');
    expect(existsSync(lock())).toBe(false);
  });

  test('of a running process is respected', async () => {
    writeFileSync(lock(), `${process.ppid}\n`);
    const taking = () => withFolderLock(root, () => expect.fail('it ran'));
    await expectError(taking, 'storage', new RegExp(`process ${process.ppid}\\).*remove .*${LOCK_FILE}`));
    expect(readFileSync(lock(), 'utf8')).toBe(`${process.ppid}\n`);
  });

  test.each([
    ['a process that is over', () => `${formerProcess()}\n`],
    ['an earlier process of this id', () => `${process.pid}\n`],
    ['a process that was cut off while it wrote it', () => ''],
    ['the id 0, which no process has', () => '0\n'],
  ])('of %s is taken over', async (_, content) => {
    writeFileSync(lock(), content());
    expect(await withFolderLock(root, () => Promise.resolve('ran'))).toBe('ran');
    expect(existsSync(lock())).toBe(false);
  });

  test('that is a folder is told, and left as it is', async () => {
    mkdirSync(lock());
    const taking = () => withFolderLock(root, () => expect.fail('it ran'));
    await expectError(taking, 'storage', /graft\.lock is a folder, where a lock file is expected\. .* remove it/);
    expect(readdirSync(root)).toEqual([LOCK_FILE]);
  });

  test('that becomes a folder meanwhile does not undo what was done', async () => {
    const done = withFolderLock(root, async () => {
      rmSync(lock());
      mkdirSync(lock());
      return 'ran';
    });
    expect(await done).toBe('ran');
  });

  test('makes the folder, and leaves none behind where nothing was written', async () => {
    const folder = join(root, 'new');
    await withFolderLock(folder, () => Promise.resolve());
    expect(existsSync(folder)).toBe(false);
    await withFolderLock(folder, () => Promise.resolve(writeFileSync(join(folder, 'result'), 'x')));
    expect(existsSync(join(folder, 'result'))).toBe(true);
  });

  test('of a folder that can not be made says why', async () => {
    writeFileSync(join(root, 'file'), '');
    await expectError(
      () => withFolderLock(join(root, 'file/new'), () => expect.fail('it ran')),
      'storage',
      /can't be made: a part of its path is a file/,
    );
  });

  test('is held once within a process too', async () => {
    await withFolderLock(root, () =>
      expectError(() => withFolderLock(root, () => expect.fail('it ran')), 'storage', /is in use/),
    );
    const [one, two] = await Promise.all([lockFile(lock()), lockFile(lock())]);
    expect([one, two].filter(Boolean)).toHaveLength(1);
    (one ?? two)!();
    expect(readdirSync(root)).toEqual([]);
  });

  test('that another process has taken over by then is left to it', async () => {
    const letGo = await lockFile(lock());
    writeFileSync(lock(), `${process.ppid}\n`);
    letGo!();
    expect(readFileSync(lock(), 'utf8')).toBe(`${process.ppid}\n`);
  });
});
