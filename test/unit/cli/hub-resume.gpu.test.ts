/** A model in several files from a Hub whose connection, or whose reader, is cut off, at points drawn by a seed. */
import { cpSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Random } from '../../../src/core/rng';
import { CACHE_SHARD, HubBench, type LoadedModel } from '../../support/hub-loading';
import { shardedStarter, shardName, type ModelFiles } from '../../support/sharded-model';
import type { RecordedRequest } from '../../support/stand-in-hub';

const ID = 'org/sharded';
const SHARDS = 4;
const CUTS = 10;
const seed = Number(process.env['GRAFT_TEST_SEED'] ?? 20_26);

let bench: HubBench;
let files: ModelFiles;
let whole: LoadedModel;
const bytesOf = (shard: number) => files[shardName(shard)]!.byteLength;
const smallestShard = () => Math.min(...Array.from({ length: SHARDS }, (_, i) => bytesOf(i + 1)));

beforeAll(async () => {
  bench = await HubBench.open();
  files = await shardedStarter(SHARDS);
  bench.hub.add(ID, files);
  whole = await bench.load(ID, { keep: false });
});
afterAll(() => bench.close());
beforeEach(() => {
  bench.useCache();
  bench.hub.requests.length = 0;
  bench.hub.faults.length = 0;
});

const firstByte = ({ range }: RecordedRequest) => Number(/^bytes=(\d+)-/.exec(range ?? '')?.[1] ?? 0);

test('a connection that is cut ten times goes on where it stopped', async () => {
  const random = new Random(seed);
  const model = await bench.load(ID, {
    onPlanned: () => {
      bench.hub.requests.length = 0;
      for (let i = 0; i < CUTS; i++) {
        const file = shardName(1 + (i % SHARDS));
        const cutAt = 1 + Math.floor(random.uniform() * (files[file]!.byteLength - 1));
        bench.hub.faults.push({ host: 'cdn', path: file, cutAt, times: 1 });
      }
    },
  });
  expect(model).toEqual(whole);
  const requests = bench.hub.weightRequests();
  expect(requests).toHaveLength(SHARDS + CUTS);
  const twice: number[] = [];
  for (let shard = 1; shard <= SHARDS; shard++) {
    const ofFile = requests.filter(({ path }) => path.includes(shardName(shard)));
    for (const [i, request] of ofFile.entries()) {
      const next = ofFile[i + 1];
      const reached = firstByte(request) + request.sent;
      if (next) twice.push(reached - firstByte(next));
      else expect(reached).toBe(bytesOf(shard));
    }
  }
  console.info(`seed ${seed}: bytes fetched twice after each cut: ${twice.join(', ')}`);
  expect(twice).toHaveLength(CUTS);
  for (const bytes of twice) expect(bytes).toBeLessThan(smallestShard());
});

describe('a reader that is cut off', () => {
  // What the disk holds at one moment is what a process that is killed then leaves.
  test.each(Array.from({ length: CUTS }, (_, i) => seed + i))(
    'goes on from the cache, then needs no request for weights (seed %i)',
    async (ownSeed) => {
      const share = new Random(ownSeed).uniform();
      const stop = new AbortController();
      const left = bench.newFolder();
      let loadedBefore = 0;
      let total = 0;
      const cutOff = (loaded: number, all: number) => {
        if (stop.signal.aborted || loaded < share * all) return;
        [loadedBefore, total] = [loaded, all];
        cpSync(bench.cache, left, { recursive: true });
        stop.abort();
      };
      await bench.load(ID, { onProgress: cutOff, signal: stop.signal }).catch(() => undefined);
      expect(total).toBeGreaterThan(0);

      bench.useCache(left);
      bench.hub.requests.length = 0;
      expect(await bench.load(ID)).toEqual(whole);
      const fetched = bench.hub.weightRequests().reduce((sum, { sent }) => sum + sent, 0);
      const twice = Math.max(0, loadedBefore + fetched - total);
      console.info(`seed ${ownSeed}: cut off after ${loadedBefore} of ${total} bytes, ${twice} fetched twice`);
      expect(twice).toBeLessThan(CACHE_SHARD);

      bench.hub.requests.length = 0;
      expect(await bench.load(ID)).toEqual(whole);
      expect(bench.hub.weightRequests()).toEqual([]);
      expect(bench.hub.requests.every(({ path }) => path.startsWith('/api/models/'))).toBe(true);
    },
  );
});

test('what is kept loads when the Hub is gone', async () => {
  await bench.load(ID);
  await bench.hub.close();
  bench.said.length = 0;
  expect(await bench.load(ID)).toEqual(whole);
  expect(bench.said.at(-1)).toEqual(
    expect.stringMatching(/can't be reached.* Using commit [0-9a-f]{40} from Graft's cache\.$/),
  );
});
