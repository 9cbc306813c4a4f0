/** Models of a Hub that are not what they should be, each loaded as the command line does. */
import { readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { ErrorCode } from '../../../src/core/errors';
import { encodeUtf8 } from '../../../src/core/store';
import type { CacheEntry } from '../../../src/storage/weights';
import type { Sealed } from '../../../src/storage/sealed';
import { CACHE_SHARD, HubBench, type LoadedModel } from '../../support/hub-loading';
import { INDEX, shardedStarter, shardName, withIndex, type Index, type ModelFiles } from '../../support/sharded-model';
import { LOGIN_PAGE, type Fault } from '../../support/stand-in-hub';
import type { StandInOptions } from '../../support/stand-in-models';
import { expectError } from '../recipes/support';

const ID = 'org/sharded';
const SECOND = shardName(2);

let bench: HubBench;
let files: ModelFiles;
let whole: LoadedModel;

beforeAll(async () => {
  bench = await HubBench.open();
  files = await shardedStarter();
  bench.hub.add(ID, files);
  whole = await bench.load(ID, { keep: false });
});
afterAll(() => bench.close());
beforeEach(() => {
  bench.useCache();
  bench.hub.faults.length = 0;
  bench.hub.add(ID, files);
});

/** Loads, is refused, keeps nothing; and loads once it is mended. */
async function refused(code: ErrorCode, message: RegExp): Promise<void> {
  await expectError(() => bench.load(ID), code, message);
  expect(bench.kept()).toEqual([]);
  bench.hub.faults.length = 0;
  bench.hub.add(ID, files);
  expect(await bench.load(ID)).toEqual(whole);
  expect(bench.kept()).toContain('entry.json');
}

const text = (value: unknown) => encodeUtf8(typeof value === 'string' ? value : JSON.stringify(value));
const config = () => JSON.parse(Buffer.from(files['config.json']!).toString()) as Record<string, unknown>;

describe('a transfer', () => {
  /** Of the second shard, well within its tensors. */
  const late = () => files[SECOND]!.byteLength - 1000;

  test.each<[string, () => Fault, ErrorCode, RegExp]>([
    [
      'with one bit turned in a shard',
      () => ({ host: 'cdn', path: SECOND, flipAt: late(), times: Infinity }),
      'bad-file',
      /^model-00002-of-00004\.safetensors of org\/sharded is damaged: its SHA-256 is .* Nothing of it was kept: load it again\.$/,
    ],
    [
      'with one bit turned in the last byte of the last shard',
      () => ({ host: 'cdn', path: shardName(4), flipAt: files[shardName(4)]!.byteLength - 1, times: Infinity }),
      'bad-file',
      /^model-00004-of-00004\.safetensors of org\/sharded is damaged/,
    ],
    [
      'with a short body and status 200',
      () => ({ host: 'cdn', path: SECOND, shortTo: late(), times: Infinity }),
      'bad-file',
      /sent [\d,]+ bytes for model-00002-of-00004\.safetensors of org\/sharded, which is listed with [\d,]+: the copy there is damaged/,
    ],
    [
      'of a shard that is a login page',
      () => ({ host: 'cdn', path: SECOND, body: LOGIN_PAGE, times: Infinity }),
      'bad-file',
      /sent a web page in place of model-00002-of-00004\.safetensors of org\/sharded: a network that wants you to sign in/,
    ],
    [
      'of the config that is a login page',
      () => ({ path: 'config.json', body: LOGIN_PAGE, times: Infinity }),
      'bad-file',
      /sent a web page in place of config\.json of org\/sharded/,
    ],
    [
      'of the listing that is a login page',
      () => ({ path: '/api/models/', body: LOGIN_PAGE, times: Infinity }),
      'bad-file',
      /sent a web page in place of the files of org\/sharded/,
    ],
    [
      'of a config with one bit turned',
      () => ({ path: 'config.json', flipAt: 200, times: Infinity }),
      'bad-file',
      /config\.json of org\/sharded came damaged from .*: its hash is not the listed one/,
    ],
    [
      'of a tokenizer with one bit turned',
      () => ({ path: 'tokenizer.json', flipAt: 90_000, times: Infinity }),
      'bad-file',
      /tokenizer\.json of org\/sharded came damaged/,
    ],
    [
      // A header with other metadata is a header still: only the file itself tells.
      'of a header, and not of its file, with one bit turned',
      () => ({
        host: 'cdn',
        path: SECOND,
        flipAt: Buffer.from(files[SECOND]!).indexOf('"pt"') + 1,
        times: 2,
      }),
      'bad-file',
      /^The header of model-00002-of-00004\.safetensors of org\/sharded is not what it was when the model was opened/,
    ],
    [
      'of a header whose tensor has another name',
      () => ({ host: 'cdn', path: SECOND, flipAt: Buffer.from(files[SECOND]!).indexOf('_proj'), times: Infinity }),
      'bad-file',
      /^org\/sharded lacks the tensor model\.layers\.\S+, which its config\.json calls for\.$/,
    ],
  ])('%s is refused, and nothing of it is kept', async (_, fault, code, message) => {
    bench.hub.faults.push(fault());
    await refused(code, message);
  });
});

describe('a repository', () => {
  const absurd = (change: Record<string, unknown>) => ({
    ...files,
    'config.json': text({ ...config(), ...change }),
  });
  const indexed = (change: (index: Index) => void) => withIndex(files, change);

  test.each<[string, () => ModelFiles, StandInOptions, ErrorCode, RegExp]>([
    [
      'whose listing gives a shard another size',
      () => files,
      { listedSizes: { [SECOND]: 1_000_000 } },
      'bad-file',
      /sent [\d,]+ bytes for model-00002-of-00004\.safetensors of org\/sharded, which is listed with 1,000,000/,
    ],
    [
      'whose index names a file that is not there',
      () => indexed(({ weight_map: map }) => (map[Object.keys(map)[5]!] = shardName(9))),
      {},
      'not-found',
      /^org\/sharded has no file model-00009-of-00004\.safetensors\.$/,
    ],
    [
      'whose index names a file outside the folder',
      () => indexed(({ weight_map: map }) => (map[Object.keys(map)[5]!] = '../../secret.safetensors')),
      {},
      'bad-file',
      /puts .* into "\.\.\/\.\.\/secret\.safetensors", which is no safetensors file/,
    ],
    [
      'whose index puts a tensor into another shard',
      () => indexed(({ weight_map: map }) => (map['model.norm.weight'] = shardName(1))),
      {},
      'bad-file',
      /^model\.safetensors\.index\.json puts model\.norm\.weight into model-00001-of-00004\.safetensors, but it is in model-00004/,
    ],
    [
      'whose index is no JSON',
      () => ({ ...files, [INDEX]: text('{"weight_map": ') }),
      {},
      'bad-file',
      /^model\.safetensors\.index\.json in org\/sharded is not valid JSON/,
    ],
    [
      'whose config has absurd sizes',
      () => absurd({ hidden_size: 1e12 }),
      {},
      'bad-config',
      /^config\.json: hidden_size must be a whole number from 1 to 131072, but is 1000000000000\.$/,
    ],
    [
      'whose config has more layers than files have',
      () => absurd({ num_hidden_layers: 1000 }),
      {},
      'bad-file',
      /^org\/sharded lacks the tensor model\.layers\.4\.\S+, which its config\.json calls for\.$/,
    ],
    ['whose config is a list', () => ({ ...files, 'config.json': text([1]) }), {}, 'bad-file', /holds no JSON object/],
    [
      'whose tokenizer is text',
      () => ({ ...files, 'tokenizer.json': text('not a tokenizer') }),
      {},
      'bad-file',
      /^tokenizer\.json in org\/sharded is not valid JSON: line 1, column 1: .+\. Download it again\.$/,
    ],
    ['whose tokenizer is empty', () => ({ ...files, 'tokenizer.json': text({}) }), {}, 'bad-config', /org\/sharded/],
    [
      'whose tokenizer is of a kind that is none',
      () => ({ ...files, 'tokenizer.json': text({ model: { type: 'Nonsense', vocab: 7 } }) }),
      {},
      'unsupported',
      /^The tokenizer\.json of org\/sharded can't be used: .+$/,
    ],
    [
      'whose shard claims a header of a petabyte',
      () => ({ ...files, [SECOND]: Buffer.concat([Buffer.alloc(8, 7), files[SECOND]!.subarray(8)]) }),
      {},
      'bad-file',
      /^model-00002-of-00004\.safetensors claims a header of [\d,]+ bytes, above the limit/,
    ],
    [
      'whose shard lost its end',
      () => ({ ...files, [SECOND]: files[SECOND]!.slice(0, -7) }),
      {},
      'bad-file',
      /^model-00002-of-00004\.safetensors ends 7 bytes early, within tensor/,
    ],
  ])('%s is refused, and nothing of it is kept', async (_, poisoned, options, code, message) => {
    bench.hub.add(ID, poisoned(), options);
    await refused(code, message);
  });

  test.each([4_000_000, '9'.repeat(30)])(
    'whose index gives %s as the size in all loads: nobody reads it',
    async (size) => {
      bench.hub.add(
        ID,
        indexed((index) => (index.metadata.total_size = size)),
      );
      await bench.load(ID);
    },
  );

  test('whose listing tells no hash of its shards loads, and a short body is refused still', async () => {
    bench.hub.add(ID, files, { withoutHashes: true });
    bench.hub.faults.push({ host: 'cdn', path: SECOND, shortTo: 900_000, times: Infinity });
    await expectError(() => bench.load(ID), 'bad-file', /sent 900,000 bytes for model-00002/);
    expect(bench.kept()).toEqual([]);
    bench.hub.faults.length = 0;
    expect(await bench.load(ID)).toEqual(whole);
  });
});

describe('a cache', () => {
  let before: CacheEntry;
  const find = (suffix: string) => {
    const found = readdirSync(bench.cache, { recursive: true, withFileTypes: true });
    return found.filter(({ name }) => name.endsWith(suffix)).map(({ name, parentPath }) => join(parentPath, name));
  };
  const flip = (path: string, at: number) => {
    const bytes = readFileSync(path);
    bytes[at]! ^= 1;
    writeFileSync(path, bytes);
  };
  /** Bytes of the tensors of which a shard holds at least a piece: they are kept as files have them. */
  function bytesIn(shard: string): number {
    const { shards, parameters } = before;
    const lost = new Set(
      parameters.filter((one) => one.shards.includes(basename(shard, '.shard'))).map(({ name }) => name),
    );
    const pieces = shards.flatMap((one) => one.pieces).filter(({ parameter }) => lost.has(parameter));
    return pieces.reduce((sum, { size }) => sum + size, 0);
  }
  const fetched = () => bench.hub.weightRequests().reduce((sum, { sent }) => sum + sent, 0);

  beforeEach(async () => {
    await bench.load(ID);
    bench.hub.requests.length = 0;
    before = (JSON.parse(readFileSync(find('entry.json')[0]!, 'utf8')) as Sealed<CacheEntry>).value;
  });

  test.each<[string, (shard: string) => void]>([
    ['one bit differs', (shard) => flip(shard, 1000)],
    ['the end is cut off', (shard) => truncateSync(shard, statSync(shard).size - 1)],
    ['nothing is left', (shard) => truncateSync(shard, 0)],
  ])('in one of whose shards %s is mended by the tensors in it alone', async (_, damage) => {
    const [shard] = find('.shard');
    damage(shard!);
    expect(await bench.load(ID)).toEqual(whole);
    console.info(`${fetched()} bytes fetched to mend a shard of ${CACHE_SHARD}`);
    expect(fetched()).toBeGreaterThan(0);
    expect(fetched()).toBeLessThanOrEqual(bytesIn(shard!));
    bench.hub.requests.length = 0;
    expect(await bench.load(ID)).toEqual(whole);
    expect(fetched()).toBe(0);
  });

  test('whose list of shards is cut off counts as none', async () => {
    const [entry] = find('entry.json');
    truncateSync(entry!, statSync(entry!).size - 1);
    expect(await bench.load(ID)).toEqual(whole);
    expect(fetched()).toBeGreaterThan(4_000_000);
    bench.hub.requests.length = 0;
    expect(await bench.load(ID)).toEqual(whole);
    expect(fetched()).toBe(0);
  });

  test.each<[string, (path: string) => void]>([
    ['one bit differs', (path) => flip(path, statSync(path).size - 1000)],
    ['the end is cut off', (path) => truncateSync(path, statSync(path).size - 1)],
  ])('in whose copy of the tokenizer and headers %s asks for them again', async (_, damage) => {
    const opening = find('').find((path) => /model-[0-9a-f]{32}$/.test(path));
    damage(opening!);
    expect(await bench.load(ID)).toEqual(whole);
    expect(bench.hub.requests.some(({ path }) => path.includes('tokenizer.json'))).toBe(true);
  });
});
