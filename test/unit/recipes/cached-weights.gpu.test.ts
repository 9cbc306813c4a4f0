import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GraftError } from '../../../src/core/errors';
import type { FileSource } from '../../../src/core/store';
import type { KeepParameter, LoadStream } from '../../../src/core/weights';
import { openEngine, type Engine, type Quantization } from '../../../src/engine';
import { openModel, type HubModel } from '../../../src/formats/model';
import { loadSession, weightStorageKey, type ModelCache } from '../../../src/recipes/steps/cached-weights';
import { ShardedWeightCache } from '../../../src/storage/weights';
import { testGpu } from '../../support/gpu';
import { MemoryBackend } from '../../support/memory-backend';
import { streaming } from '../../support/streaming-source';
import { expectError, tinyModel } from './support';
import { openForward, type TrainOptions } from '../../support/sessions';

const SHARD = 20_000;
const FILE = 'model.safetensors';

let engine: Engine;
let files: Record<string, Uint8Array>;
let hash: string;

beforeAll(async () => {
  // Tables of 512 × 64 don't fit such a binding: they are stored in parts.
  engine = await openEngine((await testGpu()).gpu, { maxBindingBytes: 65_536 });
  const source = await tinyModel({ hidden_size: 64, intermediate_size: 128, vocab_size: 512 });
  files = { 'config.json': await source.read('config.json'), [FILE]: await source.read(FILE) };
  hash = createHash('sha256').update(files[FILE]!).digest('hex');
});
afterAll(() => engine.destroy());

const hub = (weights = files[FILE]!) => streaming('tiny', { ...files, [FILE]: weights }, { [FILE]: hash });

function options(model: HubModel, quantization: Quantization): TrainOptions {
  return {
    spec: model.spec,
    weightDType: 'bf16',
    quantization,
    lora: { r: 2, alpha: 4, dropout: 0, targetModules: ['q_proj'], useRslora: false, useDora: false },
    seed: 1,
    batchSize: 1,
    lengths: [16],
    gradientCheckpointing: false,
    adamw: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
    maxGradNorm: 0,
  };
}

/** Loads the model and returns its digest and the logits of a few tokens. */
async function load(
  source: FileSource,
  cache: ModelCache | undefined,
  quantization: Quantization = {},
  onProgress: (loaded: number, total: number) => void = () => undefined,
  signal?: AbortSignal,
): Promise<{ digest: string; logits: Float32Array }> {
  const model = await openModel(source);
  const wanted = options(model, quantization);
  const input = { model, storage: weightStorageKey(wanted), cache };
  const open = (weights: LoadStream, keep?: KeepParameter) => openForward(engine, wanted, weights, { keep });
  const { session, digest } = await loadSession(input, open, onProgress, signal);
  try {
    const ids = Array.from({ length: 16 }, (_, i) => (i * 37) % 512);
    const { logits } = await session.forward({ inputIds: [ids], labels: [ids] });
    return { digest, logits };
  } finally {
    session.dispose();
  }
}

const cacheIn = (backend: MemoryBackend, onNotKept?: (message: string) => void): ModelCache => ({
  weights: new ShardedWeightCache(backend, SHARD),
  model: 'tiny@1',
  ...(onNotKept && { onNotKept }),
});

describe('a model from the cache', () => {
  it.each<[string, Quantization]>([
    ['in bf16', {}],
    ['in 4 bits', { linears: 'nf4' }],
    ['in 4 bits, scales nested, tables in 8', { linears: 'nf4_nested', embeddings: 'q8' }],
  ])('is the same to the bit %s, and asks for no weights', async (_, quantization) => {
    const backend = new MemoryBackend();
    const plain = await load(hub().source, undefined, quantization);
    const first = await load(hub().source, cacheIn(backend), quantization);
    expect(backend.bytes.size).toBeGreaterThan(1);
    const { source, streams, reads } = hub();
    const progress: number[] = [];
    const second = await load(source, cacheIn(backend), quantization, (loaded) => progress.push(loaded));
    expect([streams, reads.filter((file) => file === FILE).length]).toEqual([[], 2]); // a header is two reads
    expect(progress.at(-1)).toBe((await openModel(hub().source)).weightBytes);
    for (const one of [first, second]) {
      expect(one.digest).toBe(plain.digest);
      expect(one.logits).toEqual(plain.logits);
    }
  });

  it('is kept apart for each way of storing it', async () => {
    const backend = new MemoryBackend();
    await load(hub().source, cacheIn(backend), { linears: 'nf4' });
    await load(hub().source, cacheIn(backend));
    expect(backend.held.size).toBe(2);
  });

  it('is read on from where loading was stopped, and fetches no byte of it again', async () => {
    const backend = new MemoryBackend();
    const stop = new AbortController();
    const first = load(
      hub().source,
      cacheIn(backend),
      {},
      (loaded, total) => loaded > total / 2 && stop.abort(),
      stop.signal,
    );
    await expectError(() => first, 'cancelled', /Stopped/);
    const [entry] = backend.entries();
    const { offset } = entry!.files[0]!;
    expect(offset).toBeGreaterThan(files[FILE]!.byteLength / 2);
    const { source, streams } = hub();
    const plain = await load(hub().source, undefined);
    expect(await load(source, cacheIn(backend))).toEqual(plain);
    expect(streams).toEqual([offset]);
    expect(await load(hub().source, cacheIn(backend))).toEqual(plain);
  });

  it('whose shard is damaged fetches what was in it, and is whole again', async () => {
    const backend = new MemoryBackend();
    const plain = await load(hub().source, cacheIn(backend), { linears: 'nf4' });
    const key = [...backend.bytes.keys()][1]!;
    backend.bytes.get(key)![77]! ^= 1;
    const { source, streams, reads } = hub();
    expect(await load(source, cacheIn(backend), { linears: 'nf4' })).toEqual(plain);
    expect(reads.filter((file) => file === FILE).length).toBeGreaterThan(2); // a header is two reads
    expect(streams).toEqual([]);
    const again = hub();
    expect(await load(again.source, cacheIn(backend), { linears: 'nf4' })).toEqual(plain);
    expect(again.streams).toEqual([]);
  });

  it('whose shard is damaged is not mended by other weights', async () => {
    const backend = new MemoryBackend();
    await load(hub().source, cacheIn(backend));
    for (const bytes of backend.bytes.values()) bytes[0]! ^= 1;
    const other = files[FILE]!.slice();
    other[other.byteLength - 1]! ^= 1;
    await expectError(() => load(hub(other).source, cacheIn(backend)), 'bad-file', /is not what it was/);
    expect([backend.held.size, backend.bytes.size]).toEqual([0, 0]);
  });
});

describe('a model that is not what it should be', () => {
  it('leaves nothing in the cache where one bit differs', async () => {
    const backend = new MemoryBackend();
    const damaged = files[FILE]!.slice();
    damaged[damaged.byteLength - 2]! ^= 1;
    await expectError(
      () => load(hub(damaged).source, cacheIn(backend)),
      'bad-file',
      /is damaged.*Nothing of it was kept/,
    );
    expect([backend.held.size, backend.bytes.size]).toEqual([0, 0]);
    await load(hub().source, cacheIn(backend));
    expect(backend.entries()[0]!.complete).toBe(true);
  });

  it('leaves what was kept before where a transfer brings something else, and nothing that it brought', async () => {
    const backend = new MemoryBackend();
    const length = files[FILE]!.byteLength;
    const short = (end: number) => streaming('tiny', files, { [FILE]: hash }, end).source;
    await expectError(() => load(short(length - 100), cacheIn(backend)), 'bad-file', /too few/);
    expect([backend.held.size, backend.bytes.size]).toEqual([0, 0]);

    const stop = new AbortController();
    const stopped = load(
      hub().source,
      cacheIn(backend),
      {},
      (loaded, total) => loaded > total / 3 && stop.abort(),
      stop.signal,
    );
    await expectError(() => stopped, 'cancelled', /Stopped/);
    const [before] = backend.entries();
    const shards = [...backend.bytes.keys()];
    await expectError(() => load(short(length - 100), cacheIn(backend)), 'bad-file', /too few/);
    const [after] = backend.entries();
    expect({ ...after, usedAt: 0 }).toEqual({ ...before, usedAt: 0 });
    expect([...backend.bytes.keys()]).toEqual(shards);
    const { source, streams } = hub();
    expect(await load(source, cacheIn(backend))).toEqual(await load(hub().source, undefined));
    expect(streams).toEqual([before!.files[0]!.offset]);
  });

  it('is told of, and not that the cache can not forget it', async () => {
    const backend = new MemoryBackend();
    backend.remove = () => Promise.reject(new GraftError('storage', 'The disk is read-only.'));
    const damaged = files[FILE]!.slice();
    damaged[damaged.byteLength - 2]! ^= 1;
    await expectError(() => load(hub(damaged).source, cacheIn(backend)), 'bad-file', /is damaged/);
  });

  it('leaves nothing where what was kept of it is of another shape', async () => {
    const backend = new MemoryBackend();
    await load(hub().source, cacheIn(backend));
    const [entry] = backend.entries();
    const shards = entry!.shards.map((shard) => ({
      ...shard,
      pieces: shard.pieces.map((piece) => ({ ...piece, shape: [...piece.shape, 1] })),
    }));
    await backend.replace({ ...entry!, shards });
    await expectError(() => load(hub().source, cacheIn(backend)), 'bad-file', /not what this session stores/);
    expect(backend.held.size).toBe(0);
  });
});

describe('a cache whose index has one digit changed', () => {
  /** Another digest of a parameter, and another place of a leaf: both loaded once, and told of another model. */
  const changed = (backend: MemoryBackend) => {
    const [row] = [...backend.held.values()];
    const { parameters, shards } = row!.value;
    const origin = parameters[0]!.origin.map((line) =>
      line.replace(/\d(?=\D*$)/, (digit) => `${(Number(digit) + 1) % 10}`),
    );
    const pieces = shards[0]!.pieces.map((piece, i) => (i === 0 ? { ...piece, start: piece.start + 4 } : piece));
    return [
      { ...row!, value: { ...row!.value, parameters: parameters.with(0, { ...parameters[0]!, origin }) } },
      { ...row!, value: { ...row!.value, shards: shards.with(0, { ...shards[0]!, pieces }) } },
    ];
  };

  it('is said, and the model is loaded anew with its own digest', async () => {
    const backend = new MemoryBackend();
    const plain = await load(hub().source, cacheIn(backend));
    for (const row of changed(backend)) {
      backend.held.set(row.id, row);
      const said: string[] = [];
      const { source, streams } = hub();
      expect(
        await load(
          source,
          cacheIn(backend, (message) => said.push(message)),
        ),
      ).toEqual(plain);
      expect(said).toEqual([
        'The index of what is kept of the weights of tiny is damaged: it is forgotten, and loaded again from its source.',
      ]);
      expect(streams).toEqual([0]);
    }
  });

  it.each(['index', 'shard'])('or a damaged %s is said in one sentence where there is no connection', async (what) => {
    const backend = new MemoryBackend();
    await load(hub().source, cacheIn(backend));
    if (what === 'index') for (const row of changed(backend)) backend.held.set(row.id, row);
    else [...backend.bytes.values()][0]![3]! ^= 1;
    const { source } = hub();
    const fail = () => Promise.reject(new GraftError('network', 'hub.test can’t be reached.'));
    let headerReads = 2; // its length and its JSON, when the model is opened
    const offline: FileSource = {
      ...source,
      read: (file, ...range) => (file === FILE && headerReads-- <= 0 ? fail() : source.read(file, ...range)),
      async *stream() {
        yield await fail();
      },
    };
    await expectError(
      () => load(offline, cacheIn(backend)),
      'network',
      /^What is kept of the weights of tiny is damaged, .*hub.test can’t be reached\. Load the model again when/,
    );
  });
});

describe('a cache that another fills', () => {
  it('is read, and it is said that nothing is kept, unless all of it is', async () => {
    const backend = new MemoryBackend();
    const said: string[] = [];
    const cache = cacheIn(backend, (message) => said.push(message));
    const plain = await load(hub().source, undefined);
    const key = { model: cache.model, storage: weightStorageKey({ weightDType: 'bf16' }) };
    const other = await cache.weights.open(key);
    expect(await load(hub().source, cache)).toEqual(plain);
    expect(said).toEqual([expect.stringMatching(/^What is loaded of tiny is not kept this time/)]);
    expect(backend.bytes.size).toBe(0);
    await other.close();
    await load(hub().source, cache);
    const reader = await cache.weights.open(key);
    expect(await load(hub().source, cache)).toEqual(plain);
    expect(said).toHaveLength(1);
    await reader.close();
  });
});

describe('a cache without room', () => {
  it('is said once, and the model is loaded all the same', async () => {
    const backend = new MemoryBackend(5 * SHARD);
    const said: string[] = [];
    const cache = cacheIn(backend, (message) => said.push(message));
    const plain = await load(hub().source, undefined);
    expect(await load(hub().source, cache)).toEqual(plain);
    expect(said).toHaveLength(1);
    expect(said[0]).toMatch(
      /^There is no room left\. Everything goes on from memory: of tiny, 0 of 20 tensors are kept/,
    );
    backend.room = Infinity;
    expect(await load(hub().source, cache)).toEqual(plain);
    const { source, streams } = hub();
    expect(await load(source, cache)).toEqual(plain);
    expect(streams).toEqual([]);
    expect(said).toHaveLength(1);
  });

  it('nor a list that can be read is said once, and the model is loaded all the same', async () => {
    const said: string[] = [];
    const backend = new MemoryBackend();
    backend.row = () => Promise.reject(new GraftError('storage', "entry.json can't be read."));
    const plain = await load(hub().source, undefined);
    expect(
      await load(
        hub().source,
        cacheIn(backend, (message) => said.push(message)),
      ),
    ).toEqual(plain);
    expect(said).toEqual(["entry.json can't be read. tiny is loaded without the cache, and not kept."]);
  });

  it('passes on what is wrong with the device, and not with the cache', async () => {
    const backend = new MemoryBackend();
    const cache = cacheIn(backend);
    const weights = await cache.weights.open({ model: 'x', storage: 'y' });
    async function* broken() {
      yield await Promise.reject<never>(new GraftError('device-lost', 'gone'));
    }
    await expectError(() => weights.put({ name: 'a', origin: [], leaves: broken() }), 'device-lost', /gone/);
  });
});
