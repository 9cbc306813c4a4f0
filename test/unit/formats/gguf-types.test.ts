/** Every quantised type of GGUF against gguf-py and llama.cpp's own C code, bit by bit (the reference's golden/quantizers). */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { toFloat32 } from '../../../src/core/dtypes';
import { readGgufHeader } from '../../../src/formats/gguf';
import { expand, GGML_TYPES } from '../../../src/formats/gguf/types';
import { readHeader, readTensorBytes } from '../../../src/formats/safetensors';
import { memorySource } from '../../../src/formats/sources';
import { hasReference, reference } from '../../support/reference';

interface Facts {
  readonly gguf_files: Record<string, Record<string, TensorFacts>>;
}

interface TensorFacts {
  readonly type: string;
  /** Columns first, as GGUF writes a shape. */
  readonly shape: number[];
  readonly sum: number;
  readonly first: number[];
  readonly last: number[];
}

/** Whole files of llama-quantize. */
const FILES = ['model-Q8_0.gguf', 'model-Q4_0.gguf', 'rand256-Q4_K_M.gguf'];

const DTYPES = { F32: 'f32', F16: 'f16', BF16: 'bf16' } as const;
const quantizers = (file: string) => reference('golden/quantizers', file);

/** The bytes of a tensor of the 16 rows of 256 elements that were put into each type. */
async function rowBytes(name: string): Promise<Uint8Array> {
  const file = 'gguf_rows.safetensors';
  const source = memorySource('rows', { [file]: new Uint8Array(readFileSync(quantizers(file))) });
  const entry = (await readHeader(source, file)).tensors.find((tensor) => tensor.name === name)!;
  return readTensorBytes(source, file, entry);
}

describe.skipIf(!hasReference)('types of GGUF', () => {
  const types = [...GGML_TYPES.values()].filter(({ name }) => name !== 'F32');

  it.each(types)('$name expands bit by bit as the reference does', async (type) => {
    const raw = await rowBytes(`${type.name}.raw`);
    expect(raw.byteLength).toBe(((16 * 256) / type.blockElements) * type.blockBytes);
    const values = toFloat32(expand(type, raw), DTYPES[type.expanded]);
    const expected = await rowBytes(`${type.name}.f32`);
    expect(new Uint32Array(values.slice().buffer)).toEqual(new Uint32Array(expected.slice().buffer));
  });

  it.each(FILES)('%s of llama-quantize holds what the reference reads', async (name) => {
    const { gguf_files: files } = JSON.parse(readFileSync(quantizers('quantizers.json'), 'utf8')) as Facts;
    const source = memorySource('alone', { [name]: new Uint8Array(readFileSync(quantizers(name))) });
    const { tensors } = await readGgufHeader(source, name);
    expect(tensors.map((tensor) => tensor.name).sort()).toEqual(Object.keys(files[name]!).sort());
    for (const { name: tensor, type, shape, start, end } of tensors) {
      const facts = files[name]![tensor]!;
      expect([type.name, [...shape].reverse()], tensor).toEqual([facts.type, facts.shape]);
      const values = toFloat32(expand(type, await source.read(name, start, end)), DTYPES[type.expanded]);
      expect([...values.slice(0, 8)], tensor).toEqual(facts.first);
      expect([...values.slice(-8)], tensor).toEqual(facts.last);
      expect(
        values.reduce((sum, value) => sum + value, 0),
        tensor,
      ).toBeCloseTo(facts.sum, 6);
    }
  });
});
