import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { kernelChoicesIn } from '../../../src/cli/kernel-choices';
import { KernelChoices } from '../../../src/engine/runtime/choices';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'graft-kernels-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

test('choices are read back by adapter', async () => {
  const store = kernelChoicesIn(join(root, 'not', 'yet', 'there'));
  expect(await store.read('card')).toBeUndefined();
  await store.write('card', { product: { name: '64 × 64' } });
  await store.write('another', { product: { name: '128 × 64' } });
  expect(await store.read('card')).toEqual({ product: { name: '64 × 64' } });
  expect(await store.read('another')).toEqual({ product: { name: '128 × 64' } });
});

test('a file that is something else counts as none', async () => {
  const store = kernelChoicesIn(root);
  await store.write('card', { product: { name: '64 × 64' } });
  const [file] = readdirSync(root);
  writeFileSync(join(root, file!), '{"product": ');
  const choices = new KernelChoices('card', store);
  await choices.load();
  expect(choices.get('product')).toBeUndefined();
  await choices.add(new Map([['product', { name: '32 × 32' }]]));
  expect(await store.read('card')).toEqual({ product: { name: '32 × 32' } });
});

test('a file in which a letter differs, or of another adapter, counts as none and is replaced', async () => {
  const store = kernelChoicesIn(root);
  await store.write('card', { product: { name: '64 × 64' } });
  const file = join(root, readdirSync(root)[0]!);
  const text = readFileSync(file, 'utf8');
  for (const changed of [
    text.replace('64 × 64', '32 × 64'),
    text.replace('"card"', '"cart"'),
    '{"product": "64 × 64"}',
  ]) {
    writeFileSync(file, changed);
    expect(await store.read('card'), changed).toBeUndefined();
  }
  const choices = new KernelChoices('card', store);
  await choices.load();
  await choices.add(new Map([['product', { name: '32 × 32' }]]));
  expect(await store.read('card')).toEqual({ product: { name: '32 × 32' } });
});
