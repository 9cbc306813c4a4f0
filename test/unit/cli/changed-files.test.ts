/** Weights on the disk that are swapped for others while the model is open. */
import { copyFile, mkdtemp, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openFolder } from '../../../src/cli/folders';
import { openModel } from '../../../src/formats/model';
import { expectError, tinyModel } from '../recipes/support';

const FILE = 'model.safetensors';
let folder: string;
let other: Uint8Array;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'graft-changed-'));
  const tiny = await tinyModel();
  for (const name of await tiny.list()) await writeFile(join(folder, name), await tiny.read(name));
  other = (await tiny.read(FILE)).map((byte, i) => (i > 5_000 ? byte ^ 1 : byte));
});
afterEach(() => rm(folder, { recursive: true }));

async function readWeights(model: Awaited<ReturnType<typeof openModel>>): Promise<number> {
  let bytes = 0;
  for await (const slice of model.weights()) bytes += slice.bytes.byteLength;
  return bytes;
}

it('weights written over with others of the same size are refused', async () => {
  const model = await openModel(await openFolder(folder));
  expect(await readWeights(model)).toBe(model.weightBytes);
  await new Promise((resolve) => setTimeout(resolve, 5));
  await writeFile(join(folder, FILE), other);
  await expectError(() => readWeights(model), 'bad-file', /model\.safetensors in .* was changed or replaced after/);
  expect(await readWeights(await openModel(await openFolder(folder)))).toBe(model.weightBytes);
});

it('and so are weights moved into their place, with the same size and time', async () => {
  const model = await openModel(await openFolder(folder));
  const { atime, mtime } = await stat(join(folder, FILE));
  await copyFile(join(folder, FILE), join(folder, 'kept')); // so that no new file takes the old one's place on the disk
  await writeFile(join(folder, 'new'), other);
  await utimes(join(folder, 'new'), atime, mtime);
  await rename(join(folder, 'new'), join(folder, FILE));
  await expectError(() => readWeights(model), 'bad-file', /was changed or replaced after it was opened/);
});
