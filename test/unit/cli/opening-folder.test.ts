import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { FolderOpenings } from '../../../src/cli/opening-folder';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'graft-openings-'));
});
afterEach(() => rm(folder, { recursive: true }));

const OPENING = {
  files: ['config.json', 'w'],
  sizes: [
    { file: 'config.json', size: 3 },
    { file: 'none', size: undefined },
  ],
  hashes: [{ file: 'w', sha256: undefined }],
  reads: [
    { file: 'config.json', start: 0, bytes: Uint8Array.of(1, 2, 3) },
    { file: 'w', start: 8, end: 10, bytes: Uint8Array.of(4, 5) },
  ],
};

it('gives back openings and revisions as they were kept', async () => {
  const openings = new FolderOpenings(folder);
  expect(await openings.opening('m@1')).toBeUndefined();
  await openings.keepOpening('m@1', OPENING);
  await openings.keepRevision('h/m', 'main', { commit: 'c'.repeat(40), seenAt: 3 });
  const again = new FolderOpenings(folder);
  expect(await again.opening('m@1')).toEqual(OPENING);
  expect(await again.opening('m@2')).toBeUndefined();
  expect(await again.revision('h/m', 'main')).toMatchObject({ commit: 'c'.repeat(40), seenAt: 3 });
  expect(await again.revision('h/m', 'dev')).toBeUndefined();
});

it('counts a revision in which a digit differs as none, and one under another name', async () => {
  const openings = new FolderOpenings(folder);
  await openings.keepRevision('h/m', 'main', { commit: 'c'.repeat(40), seenAt: 3 });
  const path = join(folder, (await readdir(folder))[0]!);
  const text = await readFile(path, 'utf8');
  for (const changed of [
    text.replace('cccc', 'cccd'),
    text.replace('h/m', 'h/n'),
    text.replace('3', '4'),
    '7',
    '{}',
    'x',
  ]) {
    await writeFile(path, changed);
    expect(await openings.revision('h/m', 'main'), changed).toBeUndefined();
  }
});

it('forgets one', async () => {
  const openings = new FolderOpenings(folder);
  await openings.keepOpening('m@1', OPENING);
  await openings.keepOpening('m@2', OPENING);
  await openings.forgetOpening('m@1');
  await openings.forgetOpening('m@3');
  expect(await openings.opening('m@1')).toBeUndefined();
  expect(await openings.opening('m@2')).toEqual(OPENING);
});

it('counts a file in which a bit differs as none', async () => {
  const openings = new FolderOpenings(folder);
  await openings.keepOpening('m@1', OPENING);
  const path = join(folder, (await readdir(folder))[0]!);
  const bytes = await readFile(path);
  for (const at of [0, 64, 100, bytes.byteLength - 1]) {
    const damaged = Buffer.from(bytes);
    damaged[at]! ^= 1;
    await writeFile(path, damaged);
    expect(await openings.opening('m@1'), String(at)).toBeUndefined();
  }
});

it('counts a file that was cut off as none', async () => {
  const openings = new FolderOpenings(folder);
  await openings.keepOpening('m@1', OPENING);
  const path = join(folder, (await readdir(folder))[0]!);
  const { size } = await stat(path);
  for (const bytes of [size - 1, 20, 2, 0]) {
    await truncate(path, bytes);
    expect(await openings.opening('m@1'), String(bytes)).toBeUndefined();
  }
});
