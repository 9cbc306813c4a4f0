/** What is said of a model of the Hub before its weights are asked for, and what then is so. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { readHeader } from '../../../src/formats/safetensors';
import { memorySource } from '../../../src/formats/sources';
import type { RunPlan } from '../../../src/recipes';
import { HubBench } from '../../support/hub-loading';
import { shardedStarter, shardName, type ModelFiles } from '../../support/sharded-model';

const ID = 'org/sharded';
const SHARDS = 4;
let bench: HubBench;
let files: ModelFiles;

beforeAll(async () => {
  bench = await HubBench.open();
  files = await shardedStarter(SHARDS);
  bench.hub.add(ID, files);
});
afterAll(() => bench.close());
beforeEach(() => {
  bench.useCache();
  bench.hub.requests.length = 0;
});

const runs: [string, Record<string, string>][] = [
  ['LoRA in 16 bits', {}],
  ['LoRA over 4 bits', { load_in_4bit: 'true' }],
  [
    'LoRA over nested 4 bits, tables in 8',
    { load_in_4bit: 'true', use_bnb_nested_quant: 'true', embedding_dtype: 'q8' },
  ],
  ['every parameter, in f32', { use_peft: 'false' }],
  ['rows of two lengths with checkpointing', { gradient_checkpointing: 'true', per_device_train_batch_size: '3' }],
];

test.each(runs)('%s: the plan needs headers only, and its bytes are those that live on the GPU', async (_, run) => {
  let planned: RunPlan | undefined;
  let ranges: (readonly [string, number])[] = [];
  const loaded = await bench.load(ID, {
    run,
    onPlanned: (plan) => {
      planned = plan;
      ranges = bench.hub.weightRequests().map(({ path, range, sent }) => {
        const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? [];
        expect(sent).toBe(Number(last) - Number(first) + 1);
        return [path, Number(last)] as const;
      });
    },
  });
  expect(ranges).toHaveLength(2 * SHARDS); // a length, and the header that it is of
  for (let shard = 1; shard <= SHARDS; shard++) {
    const file = shardName(shard);
    const { size } = await readHeader(memorySource('m', files), file);
    const ends = ranges.filter(([path]) => path.includes(file)).map(([, last]) => last + 1);
    expect(ends).toEqual([8, size]);
  }
  expect(loaded.plan).toEqual(planned!.memory);
  expect(loaded.live).toEqual(planned!.memory);
});

test('a model from the cache takes the bytes that were planned, too', async () => {
  const first = await bench.load(ID, { run: { load_in_4bit: 'true' } });
  let planned: RunPlan | undefined;
  bench.hub.requests.length = 0;
  const onPlanned = (plan: RunPlan) => void (planned = plan);
  const second = await bench.load(ID, { run: { load_in_4bit: 'true' }, onPlanned });
  expect(bench.hub.weightRequests()).toEqual([]);
  expect(second).toEqual(first);
  expect(second.live).toEqual(planned!.memory);
});

test('two loads at once end alike: one keeps the model, the other only reads', async () => {
  const [one, other] = await Promise.all([bench.load(ID), bench.load(ID)]);
  expect(other).toEqual(one);
  expect(bench.kept().filter((file) => file === 'entry.json')).toHaveLength(1);
  bench.hub.requests.length = 0;
  expect(await bench.load(ID)).toEqual(one);
  expect(bench.hub.weightRequests()).toEqual([]);
});
