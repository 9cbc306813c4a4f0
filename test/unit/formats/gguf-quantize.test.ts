/**
 * Our quantisers against llama.cpp's: whole files of llama-quantize, bit by bit, where their f32 source is there (the
 * reference's golden/quantizers), and blocks of one random matrix, whose source is its F32 values.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { toFloat32 } from '../../../src/core/dtypes';
import { Random } from '../../../src/core/rng';
import { readGgufHeader } from '../../../src/formats/gguf';
import { readHeader, readTensorBytes } from '../../../src/formats/safetensors';
import { expand, GGML_TYPES, ggmlType, store } from '../../../src/formats/gguf/types';
import { memorySource } from '../../../src/formats/sources';
import { hasReference, reference } from '../../support/reference';

const DTYPES = { F32: 'f32', F16: 'f16', BF16: 'bf16' } as const;

const written = [...GGML_TYPES.values()].filter(({ quantizeBlock }) => quantizeBlock);

async function tensorsOf(path: string) {
  const source = memorySource('file', { 'm.gguf': new Uint8Array(readFileSync(reference(path))) });
  const { tensors } = await readGgufHeader(source, 'm.gguf');
  const read = async (name: string) => {
    const tensor = tensors.find((found) => found.name === name)!;
    return { tensor, bytes: await source.read('m.gguf', tensor.start, tensor.end) };
  };
  return { tensors, read };
}

describe.skipIf(!hasReference)('a file of llama-quantize', () => {
  it.each(['model-Q8_0', 'model-Q4_0'])('%s has the bytes that we make of its source', async (name) => {
    const source = await tensorsOf('models/stories260K/model-f32.gguf');
    const quantised = await tensorsOf(`golden/quantizers/${name}.gguf`);
    expect(quantised.tensors).toHaveLength(source.tensors.length);
    for (const { name: tensor, type } of quantised.tensors) {
      const { bytes } = await source.read(tensor);
      const expected = await quantised.read(tensor);
      expect(Buffer.from(store(type, toFloat32(bytes, 'f32'))).equals(expected.bytes), `${tensor} ${type.name}`).toBe(
        true,
      );
    }
  });
});

/** Of the 16 rows of 256 elements that the reference has in every type. */
async function rowsTensor(name: string) {
  const file = 'gguf_rows.safetensors';
  const path = reference('golden/quantizers', file);
  const source = memorySource('file', { [file]: new Uint8Array(readFileSync(path)) });
  const entry = (await readHeader(source, file)).tensors.find((tensor) => tensor.name === name)!;
  return { bytes: await readTensorBytes(source, file, entry) };
}

describe.skipIf(!hasReference)('rows of a random matrix', () => {
  it.each(['F16', 'BF16', ...written.map(({ name }) => name)])(
    'have the bytes that the reference makes of them, in %s',
    async (name) => {
      const { bytes } = await rowsTensor('source.f32');
      const { bytes: expected } = await rowsTensor(`${name}.raw`);
      expect(Buffer.from(store(ggmlType(name), toFloat32(bytes, 'f32'))).equals(expected)).toBe(true);
    },
  );
});

/** Largest error that rounding alone leaves, of the largest element of a block. */
const LARGEST: Readonly<Record<string, number>> = {
  Q8_0: 1 / 240,
  Q6_K: 1 / 50,
  Q5_K: 1 / 20,
  Q5_1: 1 / 25,
  Q5_0: 1 / 15,
  Q4_K: 1 / 10,
  Q4_0: 1 / 7,
};

describe('quantised values', () => {
  it.each(written)('of $name are near those that they were, and their own values once more', (type) => {
    const random = new Random(3);
    const values = Float32Array.from({ length: 2048 }, (_, i) => random.normal() * 10 ** ((i >> 8) % 4));
    const once = toFloat32(expand(type, store(type, values)), DTYPES[type.expanded]);
    for (let block = 0; block < values.length; block += type.blockElements) {
      const [given, stored] = [values, once].map((list) => list.subarray(block, block + type.blockElements));
      const size = Math.max(...given!.map(Math.abs));
      const worst = Math.max(...given!.map((value, i) => Math.abs(value - stored![i]!)));
      expect(worst / size, `${type.name} from ${block}`).toBeLessThan(LARGEST[type.name]!);
    }
  });

  it.each(written)('of $name are zeros where there were zeros', (type) => {
    const stored = store(type, new Float32Array(type.blockElements));
    expect(new Float32Array(expand(type, stored).buffer).every((value) => value === 0)).toBe(true);
  });
});

it('16-bit types are rounded to the nearest', () => {
  const values = Float32Array.of(1, -0.1, 65504, 1e-7);
  expect([...toFloat32(store(ggmlType('F16'), values), 'f16')]).toEqual([
    1, -0.0999755859375, 65504, 1.1920928955078125e-7,
  ]);
  expect(toFloat32(store(ggmlType('BF16'), values), 'bf16')[1]).toBe(-0.10009765625);
});
