/** A model in shards whose connection is cut at points drawn by a seed, in the page. */
import { expect } from 'vitest';
import { Random } from '../../src/core/rng';
import { HubPage, test } from '../support/hub-page';
import { shardedModel, shardName } from '../support/sharded-model';
import type { RecordedRequest } from '../support/stand-in-hub';

const ID = 'graft/cut-llama';
const SHARDS = 4;
const CUTS = 10;
const seed = Number(process.env['GRAFT_TEST_SEED'] ?? 2026);

const firstByte = ({ range }: RecordedRequest) => Number(/^bytes=(\d+)-/.exec(range ?? '')?.[1] ?? 0);

test('a download that is cut ten times goes on where it stopped, and a reload fetches nothing', async ({
  page,
  site,
  hub,
  problems,
}) => {
  const files = await shardedModel(
    { hidden_size: 128, intermediate_size: 512, num_hidden_layers: 24 },
    { shards: SHARDS },
  );
  hub.add(ID, files);
  const graft = await HubPage.open(page, site);
  await graft.openHub(ID);
  await graft.plannedTotal();
  hub.requests.length = 0;
  const random = new Random(seed);
  for (let i = 0; i < CUTS; i++) {
    const path = shardName(1 + (i % SHARDS), SHARDS);
    const cutAt = 1 + Math.floor(random.uniform() * (files[path]!.byteLength - 1));
    hub.faults.push({ host: 'cdn', path, cutAt, times: 1 });
  }
  await graft.fetchWeights();
  problems.splice(0); // Chromium's console tells of every cut

  const requests = hub.weightRequests();
  expect(requests).toHaveLength(SHARDS + CUTS);
  const twice: number[] = [];
  for (let shard = 1; shard <= SHARDS; shard++) {
    const name = shardName(shard, SHARDS);
    const ofFile = requests.filter(({ path }) => path.includes(name));
    for (const [i, request] of ofFile.entries()) {
      const reached = firstByte(request) + request.sent;
      const next = ofFile[i + 1];
      if (next) twice.push(reached - firstByte(next));
      else expect(reached).toBe(files[name]!.byteLength);
    }
  }
  console.info(`seed ${seed}: bytes fetched twice after each cut: ${twice.join(', ')}`);
  expect(twice).toHaveLength(CUTS);
  expect(requests.filter((request) => firstByte(request) > 0).length).toBeGreaterThan(0);
  const sizes = Array.from({ length: SHARDS }, (_, i) => files[shardName(i + 1, SHARDS)]!.byteLength);
  for (const bytes of twice) expect(bytes).toBeLessThan(Math.min(...sizes));

  hub.requests.length = 0;
  await page.reload();
  await graft.kept('all');
  expect(hub.requests).toEqual([]);
});
