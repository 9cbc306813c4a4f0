/** A model of the Hub that processes load: killed on the way, two at once, and with a disk that is too small. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Random } from '../../../src/core/rng';
import { writeLargeModel } from '../../support/large-model.mjs';
import { StandInHub, type RecordedRequest } from '../../support/stand-in-hub';
import { tokenRows } from '../recipes/support';
import { jsonLines, startGraft, type Ended } from './support';

const ID = 'org/large';
const SHARD_BYTES = 64e6;
/** What the Hub had sent and the process had not read yet: sockets on one machine hold megabytes. */
const IN_FLIGHT = 32e6;
const KILLS = 2;
const seed = Number(process.env['GRAFT_TEST_SEED'] ?? 2026);

/** 184 MB in bf16, in four files. */
const CONFIG = {
  hidden_size: 1024,
  intermediate_size: 4096,
  num_hidden_layers: 6,
  num_attention_heads: 16,
  num_key_value_heads: 4,
  vocab_size: 4096,
  tie_word_embeddings: true,
};

let root: string;
let hub: StandInHub;
let total = 0;
let starts: Map<string, number>;
let plain: Buffer;
const path = (...names: string[]) => join(root, ...names);

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'graft-hub-process-'));
  await writeLargeModel(path('model'), CONFIG, SHARD_BYTES);
  hub = await StandInHub.start();
  const { files } = hub.add(ID, path('model'));
  const weights = [...files.values()].filter(({ isLarge }) => isLarge).sort((a, b) => (a.name < b.name ? -1 : 1));
  starts = new Map(weights.map(({ name, size }) => [name, (total += size) - size]));
  expect(starts.size).toBeGreaterThanOrEqual(3);
  writeFileSync(path('rows.jsonl'), tokenRows(4));
  const { code, err } = await train('plain', '--no-cache').ended;
  expect(code, err).toBe(0);
  plain = adapter('plain');
});
afterAll(async () => {
  await hub.close();
  rmSync(root, { recursive: true, force: true });
});
beforeEach(() => {
  hub.requests.length = 0;
});

const adapter = (output: string) => readFileSync(path(output, 'adapter_model.safetensors'));
const environment = (cache: string) => ({ HF_ENDPOINT: hub.url, HF_HOME: root, GRAFT_CACHE: path(cache) });
const argumentsFor = (output: string) => [
  ...['train', '--model', ID, '--data', path('rows.jsonl'), '--output', path(output), '--overwrite'],
  ...['--max_steps', '1', '--lora_r', '2', '--max_length', '32', '--per_device_train_batch_size', '1'],
];
const train = (output: string, ...more: string[]) =>
  startGraft([...argumentsFor(output), ...more], undefined, environment('cache'));

/** Transfers of weights, without the ranges that headers are. */
const transfers = () => hub.weightRequests().filter(({ range }) => range?.endsWith('-'));
const firstByte = ({ path: url, range }: RecordedRequest) => {
  const file = [...starts.keys()].find((name) => url.includes(name))!;
  return starts.get(file)! + Number(/^bytes=(\d+)-/.exec(range!)![1]);
};
const sent = () => transfers().reduce((sum, request) => sum + request.sent, 0);

describe('a process', () => {
  test(`that is killed ${KILLS} times goes on from its cache, and then asks for no weights`, async () => {
    const random = new Random(seed);
    let reached = 0;
    const twice: number[] = [];
    for (let kill = 0; kill <= KILLS; kill++) {
      hub.requests.length = 0;
      const { child, ended } = train('killed');
      const after = random.uniform() * (total - reached);
      const timer = setInterval(() => kill < KILLS && sent() > after && child.kill('SIGKILL'), 5);
      const { code, killedBy, err } = await ended;
      clearInterval(timer);
      expect([code, killedBy], err).toEqual(kill < KILLS ? [null, 'SIGKILL'] : [0, null]);
      const [first] = transfers();
      if (kill > 0) twice.push(reached - firstByte(first!));
      reached = firstByte(first!) + sent();
    }
    console.info(`seed ${seed}: of ${total} bytes, fetched twice after each kill: ${twice.join(', ')}`);
    expect(reached).toBe(total);
    for (const bytes of twice) expect(bytes).toBeLessThan(SHARD_BYTES + IN_FLIGHT);
    expect(adapter('killed').equals(plain)).toBe(true);

    hub.requests.length = 0;
    expect((await train('cached').ended).code).toBe(0);
    expect(hub.weightRequests()).toEqual([]);
    expect(adapter('cached').equals(plain)).toBe(true);
  });

  test('beside another leaves one entry, and both end alike', async () => {
    const shared = environment('shared');
    const runs = ['one', 'other'].map((output) => startGraft(argumentsFor(output), undefined, shared).ended);
    for (const { code, err } of await Promise.all(runs)) expect(code, err).toBe(0);
    for (const output of ['one', 'other']) expect(adapter(output).equals(plain)).toBe(true);
    const { out } = await startGraft(['cache', 'list', '--json'], undefined, shared).ended;
    expect(jsonLines(out)).toEqual([expect.objectContaining({ complete: true, bytes: expect.any(Number) as number })]);
  });
});

/** Whether this user may mount a small disk of his own, in a namespace that ends with the process. */
const mounts =
  process.platform === 'linux' && spawnSync('unshare', ['-rm', 'mount', '-t', 'tmpfs', 'x', '/mnt']).status === 0;

describe.skipIf(!mounts)('a disk that is too small', () => {
  /** As `startGraft`, with a disk of so many MB for the cache. */
  function trainOnDisk(megabytes: number, output: string): Promise<Ended> {
    mkdirSync(path('disk'), { recursive: true });
    const mount = `mount -t tmpfs -o size=${megabytes}m graft "$GRAFT_CACHE" && exec "$0" "$@"`;
    const inside = ['-rm', 'sh', '-c', mount, process.execPath];
    return startGraft(argumentsFor(output), undefined, environment('disk'), ['unshare', ...inside]).ended;
  }

  test.each([100, 1])('for the weights (%i MB) is said, and training goes on from memory', async (megabytes) => {
    const { code, err } = await trainOnDisk(megabytes, `full-${megabytes}`);
    expect(code, err).toBe(0);
    const [, kept, all] =
      /can't be written to .*: the disk is full\..* Everything goes on from memory: of org\/large, (\d+) of (\d+) tensors are kept, and the others are loaded again next time\./.exec(
        err,
      ) ?? [];
    expect(Number(all), err).toBe(56);
    expect(Number(kept)).toBe(0); // half a model is given up: runs need the room
    expect(adapter(`full-${megabytes}`).equals(plain)).toBe(true);
  });
});
