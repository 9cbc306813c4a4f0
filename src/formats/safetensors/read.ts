/** Whole tensors of safetensors files that fit memory: adapters, checkpoints, single tensors. */
import { toFloat32 } from '../../core/dtypes';
import { GraftError } from '../../core/errors';
import { formatCount, plural } from '../../core/format';
import type { FileSource } from '../../core/store';
import type { StateEntry, WeightTensor } from '../../core/weights';
import { readHeader, type TensorEntry } from './header';
import { entryDType } from './stream';

/** The bytes of one tensor of any dtype. Throws `bad-file` where the source hands out fewer. */
export async function readTensorBytes(source: FileSource, file: string, entry: TensorEntry): Promise<Uint8Array> {
  const bytes = await source.read(file, entry.start, entry.end);
  const missing = entry.end - entry.start - bytes.byteLength;
  if (missing !== 0) {
    throw new GraftError(
      'bad-file',
      `${file} gave ${formatCount(bytes.byteLength)} bytes for tensor ${entry.name}, ${plural(Math.abs(missing), 'byte')} ` +
        `too ${missing > 0 ? 'few' : 'many'}: it changed while it was read, or the connection broke. Load it again.`,
    );
  }
  return bytes;
}

/** One tensor as a weight. Throws `unsupported` for a dtype that Graft doesn't compute with. */
export async function readTensor(source: FileSource, file: string, entry: TensorEntry): Promise<WeightTensor> {
  const dtype = entryDType(file, entry);
  return { name: entry.name, dtype, shape: entry.shape, bytes: await readTensorBytes(source, file, entry) };
}

/** Every tensor of one small file (an adapter, a checkpoint). */
export async function readAll(source: FileSource, file: string): Promise<WeightTensor[]> {
  const { tensors } = await readHeader(source, file);
  const read: WeightTensor[] = [];
  for (const entry of tensors) read.push(await readTensor(source, file, entry));
  return read;
}

/** What is read at once of a tensor that comes in pieces: whole words. */
const PIECE_BYTES = 4 * 2 ** 20;

/** A tensor of a training state, a weight or 8-bit codes, read piece by piece when it is asked for. */
export function stateEntry(source: FileSource, file: string, entry: TensorEntry): StateEntry {
  const { name, shape, start, end } = entry;
  const dtype = entry.dtype === 'U8' ? 'u8' : entryDType(file, entry);
  return {
    name,
    dtype,
    shape,
    async *pieces() {
      for (let at = start; at < end; at += PIECE_BYTES) {
        yield await readTensorBytes(source, file, { ...entry, start: at, end: Math.min(end, at + PIECE_BYTES) });
      }
    },
  };
}

/** The same tensor with its values expanded to f32, exactly. */
export function asFloat32(tensor: WeightTensor): WeightTensor {
  if (tensor.dtype === 'f32') return tensor;
  const values = toFloat32(tensor.bytes, tensor.dtype);
  return { ...tensor, dtype: 'f32', bytes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength) };
}
