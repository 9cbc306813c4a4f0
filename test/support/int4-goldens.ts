/** The 4-bit cases of the reference's golden/quantizers: matrices, what calibrates them, and what was made of them. */
import { readFileSync } from 'node:fs';
import { toFloat32 } from '../../src/core/dtypes';
import { memorySource } from '../../src/formats/sources';
import { readHeader, readTensorBytes } from '../../src/formats/safetensors';
import { reference } from './reference';

async function tensorsOf(file: string): Promise<Map<string, { shape: readonly number[]; bytes: Buffer }>> {
  const path = `${file}.safetensors`;
  const source = memorySource('goldens', {
    [path]: new Uint8Array(readFileSync(reference('golden/quantizers', path))),
  });
  const { tensors } = await readHeader(source, path);
  return new Map(
    await Promise.all(
      tensors.map(async (entry) => {
        const bytes = Buffer.from(new Uint8Array(await readTensorBytes(source, path, entry)).slice().buffer);
        return [entry.name, { shape: entry.shape, bytes }] as const;
      }),
    ),
  );
}

const files = new Map<string, ReturnType<typeof tensorsOf>>();
function opened(file: string): ReturnType<typeof tensorsOf> {
  const known = files.get(file) ?? tensorsOf(file);
  files.set(file, known);
  return known;
}

export const int4Goldens = {
  /** The matrix [out, in] that a case is of, and the inputs [tokens, in] that calibrate it. */
  async weight(name: string) {
    const [matrix] = name.split('_');
    const inputs = await opened('inputs');
    const { shape, bytes } = inputs.get(`${matrix}.weight`)!;
    const [outFeatures, inFeatures] = shape as [number, number];
    const x = toFloat32(inputs.get(`${matrix}.inputs`)!.bytes, 'f32');
    return { values: toFloat32(bytes, 'f32'), outFeatures, inFeatures, inputs: x };
  },
  /** The tensors of a case, by the rest of their names. */
  async packed(file: 'gptq' | 'awq', name: string): Promise<Map<string, Buffer>> {
    const tensors = await opened(file);
    const own = [...tensors].filter(([key]) => key.startsWith(`${name}.`));
    return new Map(own.map(([key, { bytes }]) => [key.slice(name.length + 1), bytes]));
  },
  /** What the reference says of a case. */
  facts(file: 'gptq' | 'awq', name: string): Record<string, unknown> {
    const all = JSON.parse(readFileSync(reference('golden/quantizers', 'quantizers.json'), 'utf8')) as Record<
      string,
      Record<string, Record<string, unknown>>
    >;
    return all[file]![name]!;
  },
};
