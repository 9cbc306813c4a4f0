import { elementCount } from '../../core/dtypes';
import { encodeUtf8 } from '../../core/store';
import type { StateTensor } from '../../core/weights';
import { BITS_PER_ELEMENT, SAFETENSORS_DTYPES, storedDType, type StoredDType } from './dtypes';

const LENGTH_BYTES = 8;

/**
 * The bytes of a safetensors file, laid out as the reference implementation lays it out: widest dtype first, then by
 * name, with the header padded by spaces so that the data start at a multiple of eight.
 */
export function writeSafetensors(
  tensors: readonly StateTensor[],
  metadata?: Readonly<Record<string, string>>,
): Uint8Array<ArrayBuffer> {
  const sorted = inFileOrder(tensors);
  for (const { name, dtype, shape, bytes } of sorted) {
    const byteLength = tensorBytes({ dtype, shape });
    if (byteLength !== bytes.byteLength) {
      throw new RangeError(`${name} has ${bytes.byteLength} bytes, but ${dtype} [${shape.join()}] takes ${byteLength}`);
    }
  }
  const header = safetensorsHeader(sorted, metadata);
  const file = new Uint8Array(sorted.reduce((size, { bytes }) => size + bytes.byteLength, header.byteLength));
  file.set(header);
  let position = header.byteLength;
  for (const { bytes } of sorted) {
    file.set(bytes, position);
    position += bytes.byteLength;
  }
  return file;
}

/** Tensors in the order in which the reference implementation writes them: widest dtype first, then by name. */
export function inFileOrder<T extends TensorShape>(tensors: readonly T[]): T[] {
  const rank = (tensor: T) => SAFETENSORS_DTYPES.indexOf(storedDType(tensor.dtype));
  return [...tensors].sort((a, b) => rank(b) - rank(a) || (a.name < b.name ? -1 : 1));
}

/** What a header tells of a tensor. */
export interface TensorShape extends Pick<StateTensor, 'name' | 'shape'> {
  readonly dtype: StoredDType;
}

/** Bytes of a tensor's elements. */
export function tensorBytes({ dtype, shape }: Omit<TensorShape, 'name'>): number {
  return (elementCount(shape) * BITS_PER_ELEMENT[storedDType(dtype)]) / 8;
}

/**
 * What a file begins with whose tensors follow in this order, for files that are written piece by piece. Each tensor must
 * begin at a multiple of its element's size, which PyTorch relies on.
 */
export function safetensorsHeader(
  tensors: readonly TensorShape[],
  metadata?: Readonly<Record<string, string>>,
): Uint8Array<ArrayBuffer> {
  const fields: [string, unknown][] = metadata ? [['__metadata__', metadata]] : [];
  let offset = 0;
  for (const { name, dtype, shape } of tensors) {
    const end = offset + tensorBytes({ dtype, shape });
    fields.push([name, { dtype: storedDType(dtype), shape, data_offsets: [offset, end] }]);
    offset = end;
  }
  // Built entry by entry: an object would move names that look like integers to the front.
  const json = `{${fields.map(([name, info]) => `${JSON.stringify(name)}:${JSON.stringify(info)}`).join(',')}}`;
  const encoded = encodeUtf8(json);
  const headerBytes = Math.ceil(encoded.byteLength / 8) * 8;
  const header = new Uint8Array(LENGTH_BYTES + headerBytes);
  new DataView(header.buffer).setBigUint64(0, BigInt(headerBytes), true);
  header.fill(0x20, LENGTH_BYTES);
  header.set(encoded, LENGTH_BYTES);
  return header;
}
