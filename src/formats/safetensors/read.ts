/** Tensors of safetensors files, one at a time, so that a model larger than memory can pass through. */
import { toFloat32 } from '../../core/dtypes';
import { GraftError } from '../../core/errors';
import { formatCount, plural } from '../../core/format';
import type { FileSource } from '../../core/store';
import type { StateTensor, WeightStream, WeightTensor } from '../../core/weights';
import { weightDType } from './dtypes';
import { readHeader, type SafetensorsHeader, type TensorEntry } from './header';

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
  const dtype = weightDType(entry.dtype);
  if (dtype === undefined) {
    throw new GraftError(
      'unsupported',
      `Tensor ${entry.name} in ${file} is stored as ${entry.dtype}; Graft reads weights in F32, F16 and BF16.`,
    );
  }
  return { name: entry.name, dtype, shape: entry.shape, bytes: await readTensorBytes(source, file, entry) };
}

/** The tensors behind checked headers, file by file in the order of their bytes; only `names` where given. */
export async function* streamEntries(
  source: FileSource,
  headers: readonly SafetensorsHeader[],
  names?: ReadonlySet<string>,
): WeightStream {
  for (const header of headers) {
    for (const entry of header.tensors) {
      if (!names || names.has(entry.name)) yield await readTensor(source, header.file, entry);
    }
  }
}

/** Reads the headers of all `files`, then their tensors one by one; only `names` where given. */
export async function* streamTensors(
  source: FileSource,
  files: readonly string[],
  names?: readonly string[],
): WeightStream {
  const headers = [];
  for (const file of files) headers.push(await readHeader(source, file));
  yield* streamEntries(source, headers, names && new Set(names));
}

/** Every tensor of one small file (an adapter, a checkpoint). */
export async function readAll(source: FileSource, file: string): Promise<WeightTensor[]> {
  const tensors: WeightTensor[] = [];
  for await (const tensor of streamTensors(source, [file])) tensors.push(tensor);
  return tensors;
}

/** Every tensor of a training state: weights, and 8-bit codes. */
export async function readState(source: FileSource, file: string): Promise<StateTensor[]> {
  const { tensors } = await readHeader(source, file);
  const state: StateTensor[] = [];
  for (const entry of tensors) {
    const { name, dtype, shape } = entry;
    if (dtype !== 'U8') state.push(await readTensor(source, file, entry));
    else state.push({ name, dtype: 'u8', shape, bytes: await readTensorBytes(source, file, entry) });
  }
  return state;
}

/** The same tensor with its values expanded to f32, exactly. */
export function asFloat32(tensor: WeightTensor): WeightTensor {
  if (tensor.dtype === 'f32') return tensor;
  const values = toFloat32(tensor.bytes, tensor.dtype);
  return { ...tensor, dtype: 'f32', bytes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength) };
}
