import { readHeader, readTensorBytes } from '../../src/formats/safetensors';
import { folder } from './folder';
import { reference } from './reference';

/** The bytes of what bitsandbytes made of a matrix, by name: `weight`, `packed`, `absmax`, `code`, `dequant`, … */
export async function bitsandbytes(name: string): Promise<Partial<Record<string, Uint8Array>>> {
  const source = folder(reference('golden'));
  const { tensors } = await readHeader(source, `${name}.safetensors`);
  const entries = await Promise.all(
    tensors.map(async (entry) => {
      const bytes = await readTensorBytes(source, `${name}.safetensors`, entry);
      return [entry.name, new Uint8Array(bytes)] as const;
    }),
  );
  return Object.fromEntries(entries);
}
