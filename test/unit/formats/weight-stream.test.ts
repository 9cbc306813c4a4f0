import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { toFloat32 } from '../../../src/core/dtypes';
import type { FileSource } from '../../../src/core/store';
import { sliceRows, wholeTensors, type WeightSlice, type WeightTensor } from '../../../src/core/weights';
import { readHeader, streamEntries, writeSafetensors, type WeightsRequest } from '../../../src/formats/safetensors';
import { memorySource } from '../../../src/formats/sources';
import { collected, streaming } from '../../support/streaming-source';
import { expectError } from '../recipes/support';

/** 200 rows of 40,000 f32: slices of 64 rows, 10 MB each. */
const WIDE = 40_000;

function tensor(name: string, rows: number, columns: number): WeightTensor {
  const values = Float32Array.from({ length: rows * columns }, (_, i) => (i * 31 + name.length) % 1000);
  return { name, dtype: 'f32', shape: [rows, columns], bytes: new Uint8Array(values.buffer) };
}

const tensors = [tensor('a', 3, 5), tensor('large', 200, WIDE), tensor('unwanted', 7, 3), tensor('z', 64, 2)];
const bytes = writeSafetensors(tensors);
const sha256 = createHash('sha256').update(bytes).digest('hex');
const wanted = new Set(['a', 'large', 'z']);

async function read(source: FileSource, request?: WeightsRequest): Promise<WeightSlice[]> {
  return collected(streamEntries(source, [await readHeader(source, 'f')], wanted, request));
}

describe('slices of rows', () => {
  it('are multiples of 64 rows, near 16 MiB, and whole tensors below that', () => {
    expect(sliceRows([128256, 2048], 'bf16')).toBe(4096);
    expect(sliceRows([128256, 2048], 'f32')).toBe(2048);
    expect(sliceRows([200, WIDE], 'f32')).toBe(64);
    expect(sliceRows([300, 10_000_000], 'bf16')).toBe(64);
    expect(sliceRows([3, 5], 'f32')).toBe(3);
    expect(sliceRows([2048], 'f32')).toBe(2048);
    expect(sliceRows([], 'f32')).toBe(1);
  });

  const sources: [string, (files: Record<string, Uint8Array>) => FileSource][] = [
    ['by ranges', (files) => memorySource('m', files)],
    ['as one transfer', (files) => streaming('m', files, {}).source],
    ['as one transfer that is verified', (files) => streaming('m', files, { f: sha256 }).source],
  ];
  it.each(sources)('come in the order of the file, %s, and make the tensors again', async (_, open) => {
    const slices = await read(open({ f: bytes }));
    expect(slices.map(({ name, firstRow }) => [name, firstRow])).toEqual([
      ['a', undefined],
      ['large', 0],
      ['large', 64],
      ['large', 128],
      ['large', 192],
      ['z', undefined],
    ]);
    async function* again() {
      yield* await Promise.resolve(slices);
    }
    for (const { name, shape, bytes: whole, dtype } of await collected(wholeTensors(again()))) {
      const expected = tensors.find((one) => one.name === name)!;
      expect(shape).toEqual(expected.shape);
      expect(Buffer.compare(whole, expected.bytes), name).toBe(0);
      expect(toFloat32(whole, dtype)[4]).toBe((4 * 31 + name.length) % 1000);
    }
  });
});

describe('a file that is read on', () => {
  it('asks for nothing before where it stood, and verifies all of it', async () => {
    const first = streaming('m', { f: bytes }, { f: sha256 });
    const slices = await read(first.source);
    const progress = slices.flatMap((slice) => slice.progress ?? []);
    expect(progress).toHaveLength(3);
    for (const [i, from] of progress.entries()) {
      const second = streaming('m', { f: bytes }, { f: sha256 });
      const rest = await read(second.source, { from: [from] });
      expect(rest.map(({ name }) => name)).toEqual(slices.slice([1, 5, 6][i]).map(({ name }) => name));
      expect(second.streams).toEqual(from.offset < bytes.byteLength ? [from.offset] : []);
      const damaged = streaming('m', { f: bytes.with(bytes.length - 1, 77) }, { f: sha256 });
      if (i < 2) await expectError(() => read(damaged.source, { from: [from] }), 'bad-file', /f of m is damaged/);
    }
  });

  it('is read from its start where what came before was not hashed', async () => {
    const progress = (await read(memorySource('m', { f: bytes })))[0]!.progress!;
    expect(progress.hash).toHaveLength(0);
    const verified = streaming('m', { f: bytes }, { f: sha256 });
    expect(await read(verified.source, { from: [progress] })).toHaveLength(6);
  });

  it.each<[string, (state: Uint8Array) => Uint8Array]>([
    ['of another length', (state) => state.subarray(1)],
    ['of another version of the hash', (state) => state.with(0, state[0]! ^ 1)],
  ])('is read from its start where the state of its hash is %s', async (_, change) => {
    const progress = (await read(streaming('m', { f: bytes }, { f: sha256 }).source)).find(
      (one) => one.progress,
    )!.progress!;
    const { source, streams } = streaming('m', { f: bytes }, { f: sha256 });
    expect(await read(source, { from: [{ ...progress, hash: change(progress.hash) }] })).toHaveLength(6);
    expect(streams).toEqual([0]);
  });

  it('gives single tensors by their ranges alone', async () => {
    const { source, streams, reads } = streaming('m', { f: bytes }, { f: sha256 });
    const [slice, ...more] = await read(source, { names: new Set(['z', 'unwanted']) });
    expect([slice!.name, more.length, streams.length]).toEqual(['z', 0, 0]);
    expect(reads).toEqual(['f', 'f', 'f']); // a header is two
    expect(Buffer.compare(slice!.bytes, tensors[3]!.bytes)).toBe(0);
  });
});

describe('a file that is not what it should be', () => {
  it.each([
    ['its header', 20],
    ['a tensor', 5_000_000],
    ['a tensor that nobody wants', bytes.length - 512 - 10],
    ['its last byte', bytes.length - 1],
  ])('is refused where one bit of %s differs', async (_, at) => {
    const damaged = bytes.slice();
    damaged[at]! ^= 4;
    // Where the bytes are weights, only the hash can tell.
    const { source } = streaming('m', { f: damaged }, { f: sha256 });
    const header = await readHeader(memorySource('m', { f: bytes }), 'f');
    const action = () => collected(streamEntries(source, [header], wanted));
    await expectError(action, 'bad-file', /f of m is (damaged: its SHA-256|not what it was).* Nothing of it was kept/);
  });

  it('is refused where its header came damaged when the model was opened, from the start and later on', async () => {
    const swapped = bytes.slice();
    const at = Buffer.from(bytes).indexOf('"z"') + 1; // the name of a tensor: a header still
    swapped[at]! ^= 1;
    const header = await readHeader(memorySource('m', { f: swapped }), 'f');
    const { source } = streaming('m', { f: bytes }, { f: sha256 });
    const whole = await read(source);
    for (const from of [undefined, [whole[0]!.progress!]])
      await expectError(
        () => collected(streamEntries(source, [header], wanted, { from })),
        'bad-file',
        /The header of f of m is not what it was when the model was opened/,
      );
    expect(await read(source, { from: [whole[0]!.progress!] })).toHaveLength(whole.length - 1);
  });

  it('is refused where its transfer ends early', async () => {
    const { source } = streaming('m', { f: bytes }, { f: sha256 }, bytes.length - 100);
    await expectError(() => read(source), 'bad-file', /f gave 412 bytes for tensor z, 100 bytes too few/);
  });

  it('stops where the user asks for it', async () => {
    const { source } = streaming('m', { f: bytes }, {});
    await expectError(() => read(source, { signal: AbortSignal.abort() }), 'cancelled', /Stopped/);
  });
});
