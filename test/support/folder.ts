import { readdirSync, readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { memorySource } from '../../src/formats/sources';
import { readHeader, readTensorBytes } from '../../src/formats/safetensors';
import type { FileSource } from '../../src/core/store';
import { toFloat32 } from '../../src/core/dtypes';

/** A folder on disk, read whole: reference models are small. */
export function folder(path: string): FileSource {
  const files = readdirSync(path).filter((name) => statSync(resolve(path, name)).isFile());
  return memorySource(
    path,
    Object.fromEntries(files.map((name) => [name, new Uint8Array(readFileSync(resolve(path, name)))])),
  );
}

export interface GoldenTensor {
  readonly shape: readonly number[];
  readonly values: Float32Array | number[];
}

/** Every tensor of a safetensors file: f32 values, or integers as numbers. */
export async function goldenTensors(source: FileSource, file: string): Promise<Map<string, GoldenTensor>> {
  const header = await readHeader(source, file);
  const tensors = new Map<string, GoldenTensor>();
  for (const entry of header.tensors) {
    const bytes = await readTensorBytes(source, file, entry);
    const values =
      entry.dtype === 'I64' ? Array.from(new BigInt64Array(bytes.slice().buffer), Number) : toFloat32(bytes, 'f32');
    tensors.set(entry.name, { shape: entry.shape, values });
  }
  return tensors;
}
