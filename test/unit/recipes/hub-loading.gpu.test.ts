/** A model from a Hub through the cache into a session: cut connections, no connection, damaged files. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FolderOpenings } from '../../../src/cli/opening-folder';
import { FolderBackend } from '../../../src/cli/weight-folder';
import { GraftError } from '../../../src/core/errors';
import type { FileSource } from '../../../src/core/store';
import { openEngine, type Engine } from '../../../src/engine';
import { openModel } from '../../../src/formats/model';
import { hubSource } from '../../../src/hub/source';
import { openGenerator } from '../../../src/recipes';
import { openKept, resolveKept } from '../../../src/storage/recording';
import { ShardedWeightCache } from '../../../src/storage/weights';
import { testGpu } from '../../support/gpu';
import { quickClient, useHub } from '../hub/support';
import { expectError, tinyModel } from './support';

const held = useHub();
const ID = 'someone/tiny';
const FILE = 'model.safetensors';

let engine: Engine;
let folder: string;
let files: Record<string, Uint8Array>;

beforeAll(async () => {
  engine = await openEngine((await testGpu()).gpu);
  folder = await mkdtemp(join(tmpdir(), 'graft-hub-'));
  const source = await tinyModel({ hidden_size: 64, intermediate_size: 128, vocab_size: 512 });
  files = { 'config.json': await source.read('config.json'), [FILE]: await source.read(FILE) };
});
afterAll(async () => {
  engine.destroy();
  await rm(folder, { recursive: true });
});

/** Opens the model with what is kept in a folder of that name, and lets it answer. */
async function answer(cacheName: string): Promise<readonly number[]> {
  const root = join(folder, cacheName);
  const openings = new FolderOpenings(root);
  const client = quickClient(held.hub, { apiRetries: { attempts: 1 } });
  let source: FileSource | undefined;
  const resolved = await resolveKept(openings, `hub/${ID}`, 'main', async () => {
    const repo = await client.model(ID);
    source = hubSource(client, repo);
    return repo.commit;
  });
  const unreachable = () => Promise.reject(new GraftError('network', `${ID} can't be reached.`));
  source ??= { name: ID, list: unreachable, size: unreachable, read: unreachable };
  const model = await openKept(openings, `${ID}@${resolved.commit}`, source, openModel);
  const weights = new ShardedWeightCache(new FolderBackend(join(root, 'weights')), 20_000);
  const cache = { weights, model: `${ID}@${resolved.commit}` };
  const generator = await openGenerator({ model, engine, cache, storage: { load_in_4bit: true }, contextLength: 16 });
  try {
    const options = { maxNewTokens: 6, temperature: 0, topP: 1, topK: 0, seed: 0, stop: [], useAdapter: false };
    return (await generator.generate({ kind: 'tokens', ids: [1, 2, 3] }, options)).ids;
  } finally {
    generator.dispose();
  }
}

test('a connection that is cut costs nothing, and without one the model is there', async () => {
  held.hub.add(ID, files);
  const size = files[FILE]!.byteLength;
  for (const part of [0.3, 0.5, 0.51, 0.99]) {
    held.hub.faults.push({ path: FILE, host: 'cdn', cutAt: Math.floor(part * size), times: 1 });
  }
  const first = await answer('a');
  expect(held.hub.weightRequests().length).toBeGreaterThan(4);

  const requests = held.hub.weightRequests().length;
  expect(await answer('a')).toEqual(first);
  expect(held.hub.weightRequests().length).toBe(requests);

  held.hub.faults.splice(0, Infinity, { status: 503 });
  const before = held.hub.requests.length;
  expect(await answer('a')).toEqual(first);
  expect(held.hub.requests.slice(before).every(({ status }) => status === 503)).toBe(true);
});

test('a file with one bit turned is refused, and nothing of it is kept', async () => {
  held.hub.add(ID, files);
  held.hub.faults.push({ path: FILE, host: 'cdn', flipAt: files[FILE]!.byteLength - 5 });
  await expectError(() => answer('b'), 'bad-file', /is damaged: its SHA-256/);
  const backend = new FolderBackend(join(folder, 'b/weights'));
  expect([await backend.ids(), await backend.shards()]).toEqual([[], []]);
  held.hub.faults.splice(0, Infinity);
  await answer('b');
  expect((await new ShardedWeightCache(backend).list())[0]!.complete).toBe(true);
});
