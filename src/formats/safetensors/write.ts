import { elementCount } from '../../core/dtypes';
import { encodeUtf8 } from '../../core/store';
import type { StateTensor } from '../../core/weights';
import { BITS_PER_ELEMENT, SAFETENSORS_DTYPES, storedDType } from './dtypes';

const LENGTH_BYTES = 8;

/**
 * The bytes of a safetensors file, laid out as the reference implementation lays it out: widest dtype first, then by
 * name, with the header padded by spaces so that the data start at a multiple of eight.
 */
export function writeSafetensors(
  tensors: readonly StateTensor[],
  metadata?: Readonly<Record<string, string>>,
): Uint8Array<ArrayBuffer> {
  const rank = (tensor: StateTensor) => SAFETENSORS_DTYPES.indexOf(storedDType(tensor.dtype));
  const sorted = [...tensors].sort((a, b) => rank(b) - rank(a) || (a.name < b.name ? -1 : 1));
  const fields: [string, unknown][] = metadata ? [['__metadata__', metadata]] : [];
  let offset = 0;
  for (const { name, dtype, shape, bytes } of sorted) {
    const byteLength = (elementCount(shape) * BITS_PER_ELEMENT[storedDType(dtype)]) / 8;
    if (byteLength !== bytes.byteLength) {
      throw new RangeError(`${name} has ${bytes.byteLength} bytes, but ${dtype} [${shape.join()}] takes ${byteLength}`);
    }
    fields.push([name, { dtype: storedDType(dtype), shape, data_offsets: [offset, (offset += byteLength)] }]);
  }
  // Built entry by entry: an object would move names that look like integers to the front.
  const json = `{${fields.map(([name, info]) => `${JSON.stringify(name)}:${JSON.stringify(info)}`).join(',')}}`;
  const encoded = encodeUtf8(json);
  const headerBytes = Math.ceil(encoded.byteLength / 8) * 8;

  const file = new Uint8Array(LENGTH_BYTES + headerBytes + offset);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerBytes), true);
  file.fill(0x20, LENGTH_BYTES, LENGTH_BYTES + headerBytes);
  file.set(encoded, LENGTH_BYTES);
  let position = LENGTH_BYTES + headerBytes;
  for (const { bytes } of sorted) {
    file.set(bytes, position);
    position += bytes.byteLength;
  }
  return file;
}
