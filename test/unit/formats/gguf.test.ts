/**
 * GGUF against other people's software: tiny models as llama.cpp's converter writes them must be the folders that
 * Transformers wrote, and quantised types must expand as gguf-py expands them (test/golden/gguf_models.py).
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toFloat32 } from '../../../src/core/dtypes';
import { encodeUtf8, type FileSource } from '../../../src/core/store';
import type { WeightStream } from '../../../src/core/weights';
import { hubLayout, openGguf, readGgufHeader } from '../../../src/formats/gguf';
import { llama3Scaling } from '../../../src/formats/gguf/rope';
import { expand } from '../../../src/formats/gguf/types';
import { openModel, readSpec } from '../../../src/formats/model';
import { writeSafetensors } from '../../../src/formats/safetensors';
import { memorySource } from '../../../src/formats/sources';
import { hasReference, reference } from '../../support/reference';
import { expectError, files, folder } from './support';

interface Expected {
  families: Record<string, { config: object; tensors: Record<string, { shape: number[]; sha256: string }> }>;
  types: Record<string, string>;
}

const EXPECTED = JSON.parse(readFileSync('test/golden/gguf/expected.json', 'utf8')) as Expected;
const golden = (name: string) => new Uint8Array(readFileSync(`test/golden/gguf/${name}.gguf`));
const alone = (bytes: Uint8Array) => memorySource('alone', { 'm.gguf': bytes });
const sha256 = (values: Float32Array) =>
  createHash('sha256')
    .update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
    .digest('hex');

/** Shape and f32 values of each tensor, its slices joined. */
async function drain(stream: WeightStream): Promise<Map<string, { shape: number[]; values: Float32Array }>> {
  const tensors = new Map<string, { shape: number[]; values: Float32Array }>();
  for await (const { name, shape, dtype, bytes } of stream) {
    const before = tensors.get(name)?.values ?? [];
    tensors.set(name, { shape: [...shape], values: Float32Array.from([...before, ...toFloat32(bytes, dtype)]) });
  }
  return tensors;
}

describe('a model that llama.cpp converted', () => {
  it.each(Object.entries(EXPECTED.families))('%s has the spec and the tensors of its Hub folder', async (name, hub) => {
    const model = await openModel(alone(golden(name)));
    expect(model.spec).toEqual(await readSpec(files({ 'config.json': hub.config })));
    expect(model.weightDType).toBe('f16');
    const tensors = await drain(model.weights());
    const found = [...tensors].map(([key, { shape, values }]) => [key, { shape, sha256: sha256(values) }] as const);
    expect(Object.fromEntries(found)).toEqual(hub.tensors);
  });

  it('reads any range of what it shows as model.safetensors', async () => {
    for (const name of ['llama', 'gemma2']) {
      const source = await openGguf(alone(golden(name)), 'm.gguf');
      const whole = await source.read('model.safetensors');
      expect(whole.byteLength).toBe(await source.size('model.safetensors'));
      const offset = fc.nat(whole.byteLength);
      await fc.assert(
        fc.asyncProperty(offset, offset, async (a, b) => {
          const range = await source.read('model.safetensors', Math.min(a, b), Math.max(a, b));
          expect(Buffer.from(range).equals(whole.subarray(Math.min(a, b), Math.max(a, b)))).toBe(true);
        }),
      );
    }
  });
});

describe("Llama 3's rotary scaling", () => {
  /** The table as llama.cpp's converter makes it. */
  function table(
    headDim: number,
    theta: number,
    factor: number,
    low: number,
    high: number,
    original: number,
  ): number[] {
    return Array.from({ length: headDim / 2 }, (_, i) => {
      const wavelength = 2 * Math.PI * theta ** ((2 * i) / headDim);
      if (wavelength < original / high) return 1;
      if (wavelength > original / low) return factor;
      const smooth = (original / wavelength - low) / (high - low);
      return Math.fround(1 / ((1 - smooth) / factor + smooth));
    });
  }

  it.each([
    [128, 500_000, 8, 1, 4, 8192],
    [64, 500_000, 32, 1, 4, 8192],
    [128, 500_000, 8, 1, 4, 16_384],
    [128, 500_000, 16, 1, 8, 4096],
    [16, 500_000, 8, 1, 4, 64],
  ])('is read back from the table of heads of %i, theta %i, factor %i, %i to %i of %i', (headDim, theta, ...rest) => {
    const [factor, low, high, original] = rest;
    const scaling = llama3Scaling('m.gguf', table(headDim, theta, factor, low, high, original), headDim, theta);
    expect(scaling).toEqual({
      rope_type: 'llama3',
      factor,
      low_freq_factor: low,
      high_freq_factor: high,
      original_max_position_embeddings: original,
    });
  });

  it('is refused where it is another', () => {
    const odd = table(64, 10_000, 8, 1, 4, 8192).map((divisor, i) => (i === 20 ? divisor * 1.1 : divisor));
    expect(() => llama3Scaling('m.gguf', odd, 64, 10_000)).toThrow(/m\.gguf scales its rotary embedding/);
  });
});

describe('the types of tensors', () => {
  it.each(Object.entries(EXPECTED.types))('%s expands as gguf-py expands it', async (name, digest) => {
    const source = alone(golden('types'));
    const { tensors } = await readGgufHeader(source, 'm.gguf');
    const tensor = tensors.find((found) => found.name === name)!;
    expect(tensor.type.name).toBe(name);
    expect(tensor.shape).toEqual(name === 'Q6_K' ? [2, 512] : [4, 96]);
    const bytes = expand(tensor.type, await source.read('m.gguf', tensor.start, tensor.end));
    const dtype = { F32: 'f32', F16: 'f16', BF16: 'bf16' } as const;
    expect(sha256(toFloat32(bytes, dtype[tensor.type.expanded]))).toBe(digest);
  });
});

describe.skipIf(!hasReference)('stories260K as GGUF', () => {
  it('has the spec, the bytes of the tensors and the token ids of the Hub folder', async () => {
    const hub = await openModel(folder(reference('models', 'stories260K')));
    const file = new Uint8Array(readFileSync(reference('models/stories260K/model-f32.gguf')));
    const gguf = await openModel(alone(file));
    expect(gguf.spec).toEqual(hub.spec);
    expect(await drain(gguf.weights())).toEqual(await drain(hub.weights()));
    const ids = ({ tokenizer }: typeof hub, text: string) => tokenizer!.encode(text, { addSpecialTokens: false });
    // The Hub folder's tokenizer.json puts no mark before a text that starts with a space; SentencePiece does.
    for (const text of ['Once upon a time, there was a girl', 'naïve  日本語 🙂\n\n.', '', 'a</s>']) {
      expect(ids(gguf, text), text).toEqual(ids(hub, text));
      const decode = ({ tokenizer }: typeof hub) => tokenizer!.decode(ids(hub, text), { skipSpecialTokens: false });
      expect(decode(gguf)).toBe(decode(hub));
    }
    expect(gguf.tokenizer!.stopTokenIds).toEqual(hub.tokenizer!.stopTokenIds);
    expect(gguf.tokenizer!.encode('a', { addSpecialTokens: true })[0]).toBe(1);
  });
});

describe('an odd but good file', () => {
  /** The llama of the golden files with another tensor behind its own, and data aligned as said. */
  function written(alignment: number, dimensions: readonly bigint[]): Uint8Array {
    const text = (value: string) => {
      const bytes = encodeUtf8(value);
      return [...u64(BigInt(bytes.byteLength)), ...bytes];
    };
    const u32 = (value: number) => [...new Uint8Array(Uint32Array.of(value).buffer)];
    const u64 = (value: bigint) => [...new Uint8Array(BigUint64Array.of(value).buffer)];
    const tensor = (name: string, sizes: readonly bigint[], offset: bigint) => [
      ...[...text(name), ...u32(sizes.length), ...sizes.flatMap(u64), ...u32(0), ...u64(offset)],
    ];
    const elements = Number(dimensions.reduce((product, n) => product * n, 1n));
    const head = [
      ...[...encodeUtf8('GGUF'), ...u32(3), ...u64(2n), ...u64(1n)],
      ...[...text('general.alignment'), ...u32(4), ...u32(alignment)],
      ...tensor('odd', dimensions, 0n),
      ...tensor('b', [1n], BigInt(Math.ceil((4 * elements) / alignment) * alignment)),
    ];
    const padding = Math.ceil(head.length / alignment) * alignment - head.length;
    const data = Math.ceil((4 * elements) / alignment) * alignment + 4;
    return Uint8Array.from([...head, ...new Uint8Array(padding + data)]);
  }

  it.each([
    ['alignment 1', 1, [3n], [3]],
    ['alignment 2', 2, [3n], [3]],
    ['a size of 0', 32, [4n, 0n], [0, 4]],
    ['no dimensions', 32, [], []],
  ])('with %s is read', async (_what, alignment, dimensions, shape) => {
    const bytes = written(alignment, dimensions);
    const { tensors } = await readGgufHeader(alone(bytes), 'm.gguf');
    expect(tensors.map((tensor) => tensor.shape)).toEqual([shape, [1]]);
    expect(tensors.at(-1)!.end).toBe(bytes.byteLength);
  });
});

describe('hubLayout', () => {
  it('takes the one .gguf of a folder, with what lies beside it', async () => {
    const { config } = EXPECTED.families['llama']!;
    const held = { 'm.gguf': golden('llama'), 'config.json': { ...config, rms_norm_eps: 0.25 }, 'notes.txt': 'x' };
    const model = await openModel(files(held));
    expect(model.spec.rmsNormEps).toBe(0.25);
    expect(model.tokenizer).toBeUndefined();
    expect((await (await hubLayout(files(held))).list()).sort()).toEqual([
      'config.json',
      'model.safetensors',
      'notes.txt',
    ]);
    const named = await openGguf(files({ ...held, 'other.gguf': golden('qwen2') }), 'm.gguf');
    expect((await readSpec(named)).rmsNormEps).toBe(1e-5);
  });

  it('leaves a folder with safetensors alone, and asks which of several files is meant', async () => {
    const hub = folder('public/models/starter');
    expect(await hubLayout(hub)).toBe(hub);
    const two = files({ 'a.gguf': golden('llama'), 'b.gguf': golden('llama') });
    await expectError(() => openModel(two), 'not-found', /several models \(a\.gguf, b\.gguf\): name the file/);
  });
});

describe('a file that is not what it says', () => {
  const LLAMA = golden('llama');
  const read = (bytes: Uint8Array) => readGgufHeader(alone(bytes), 'm.gguf');
  const changed = (change: (view: DataView, bytes: Uint8Array) => void) => {
    const bytes = LLAMA.slice();
    change(new DataView(bytes.buffer), bytes);
    return bytes;
  };
  /** Position after `text`, the first there is. */
  /** A head of nothing but lists of empty texts. */
  const listsOf = (lists: number, entries: number) => {
    const bytes = new Uint8Array(24 + lists * (8 + 6 + 4 + 4 + 8 + 8 * entries));
    const view = new DataView(bytes.buffer);
    bytes.set(encodeUtf8('GGUF'));
    view.setUint32(4, 3, true);
    view.setBigUint64(16, BigInt(lists), true);
    for (let i = 0, at = 24; i < lists; i++, at += 30 + 8 * entries) {
      view.setBigUint64(at, 6n, true);
      bytes.set(encodeUtf8(`list ${i}`), at + 8);
      view.setUint32(at + 14, 9, true);
      view.setUint32(at + 18, 8, true);
      view.setBigUint64(at + 22, BigInt(entries), true);
    }
    return bytes;
  };
  const after = (text: string) => Buffer.from(LLAMA).indexOf(text) + text.length;

  it.each([
    ['no magic', changed((view) => view.setUint32(0, 1)), 'bad-file', /does not start with GGUF/],
    ['a web page', encodeUtf8('<!DOCTYPE html><html>'), 'bad-file', /is a web page.*not a GGUF file/],
    ['safetensors', writeSafetensors([]), 'bad-file', /is a safetensors file, not a GGUF file: let its name end in/],
    ['nothing', new Uint8Array(0), 'bad-file', /is empty, not a GGUF file: download it again/],
    ['version 1', changed((view) => view.setUint32(4, 1, true)), 'unsupported', /version 1/],
    ['big-endian', changed((view) => view.setUint32(4, 3)), 'unsupported', /big-endian/],
    [
      '2^40 tensors',
      changed((view) => view.setBigUint64(8, 2n ** 40n, true)),
      'bad-file',
      /claims 1,099,511,627,776 tensors/,
    ],
    ['2^63 tensors', changed((view) => view.setBigUint64(8, 2n ** 63n, true)), 'bad-file', /has the size/],
    ['2^20 keys', changed((view) => view.setBigUint64(16, 2n ** 20n, true)), 'bad-file', /claims 1,048,576 metadata/],
    ['a key of 2 GB', changed((view) => view.setBigUint64(24, 2n ** 31n, true)), 'bad-file', /claims a text of/],
    ['4 million empty texts', listsOf(1, 4_194_304), 'bad-file', /claims 4,194,304 entries under "list 0"/],
    ['many lists', listsOf(4, 2_000_000), 'bad-file', /has lists of more than 4,194,304 entries/],
    ['a name that is no UTF-8', changed((_, bytes) => bytes.fill(0xff, 32, 36)), 'bad-file', /not valid UTF-8/],
    ['one byte too few', LLAMA.subarray(0, -64), 'bad-file', /early, within tensor/],
    ['half a head', LLAMA.subarray(0, 200), 'bad-file', /early, within its head|claims/],
    ['bytes after the end', new Uint8Array([...LLAMA, ...new Uint8Array(64)]), 'bad-file', /after its last tensor/],
    [
      'five dimensions',
      changed((view) => view.setUint32(after('token_embd.weight'), 5, true)),
      'bad-file',
      /5 dimensions/,
    ],
    [
      'a huge shape',
      changed((view) => view.setBigUint64(after('token_embd.weight') + 4, 2n ** 52n, true)),
      'bad-file',
      /the shape/,
    ],
    [
      'a type that Graft has not',
      changed((view) => view.setUint32(after('token_embd.weight') + 20, 23, true)),
      'unsupported',
      /token_embd\.weight as IQ4_XS; Graft reads F32, F16, Q4_0, .*Q6_K, BF16\./,
    ],
    [
      'tensors that overlap',
      changed((view) => view.setBigUint64(after('blk.0.attn_k.weight') + 24, 0n, true)),
      'bad-file',
      /at 0 instead of/,
    ],
  ] as const)('%s is refused', async (_what, bytes, code, message) => {
    await expectError(() => read(bytes), code, message);
  });

  it('is refused with one of our errors, whatever was changed in it', async () => {
    const source: FileSource = alone(LLAMA);
    expect((await readGgufHeader(source, 'm.gguf')).tensors).toHaveLength(21);
    await fc.assert(
      fc.asyncProperty(fc.nat(2000), fc.nat(255), async (at, value) => {
        const bytes = changed((view) => view.setUint8(at, value));
        try {
          await openModel(alone(bytes));
        } catch (error) {
          expect((error as Error).constructor.name).toBe('GraftError');
        }
      }),
      { numRuns: 300 },
    );
  });

  it('names an architecture that Graft has not, and a vocabulary without a model', async () => {
    const other = changed((_, bytes) =>
      bytes.set(new TextEncoder().encode('mamba'), after('general.architecture') + 12),
    );
    await expectError(() => openModel(alone(other)), 'unsupported', /architecture "mamba".*can train: llama/);
  });
});
