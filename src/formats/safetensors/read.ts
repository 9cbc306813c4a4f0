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

/** Every tensor of one small file (an adapter, a checkpoint), in the order of their bytes. */
export async function readAll(source: FileSource, file: string): Promise<WeightTensor[]> {
  return readWeights(source, file, (await readHeader(source, file)).tensors);
}

/** These tensors of a file, which stand in the order of their bytes. */
export async function readWeights(
  source: FileSource,
  file: string,
  entries: readonly TensorEntry[],
): Promise<WeightTensor[]> {
  const dtypes = entries.map((entry) => entryDType(file, entry)); // before anything is read
  const read: WeightTensor[] = [];
  for await (const { entry, bytes } of readInGroups(source, file, entries))
    read.push({ name: entry.name, dtype: dtypes[read.length]!, shape: entry.shape, bytes });
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

/** Bytes that are read in one go; a larger tensor is by itself. */
const GROUP_BYTES = 16 * 2 ** 20;

/** The bytes of each tensor. Neighbours are read together: to open a file for each of many small ones would take minutes. */
async function* readInGroups(
  source: FileSource,
  file: string,
  entries: readonly TensorEntry[],
): AsyncGenerator<{ readonly entry: TensorEntry; readonly bytes: Uint8Array }, void, undefined> {
  for (let first = 0, next = 0; first < entries.length; first = next) {
    const { start } = entries[first]!;
    while (next < entries.length && (next === first || isNeighbour(entries, next, start))) next++;
    const group = entries.slice(first, next);
    if (group.length === 1 && start < group[0]!.end) {
      yield { entry: group[0]!, bytes: await readTensorBytes(source, file, group[0]!) };
      continue;
    }
    const last = group.at(-1)!;
    const bytes = start === last.end ? new Uint8Array() : await readTensorBytes(source, file, { ...last, start });
    // Each in memory of its own, aligned for its numbers.
    for (const entry of group) yield { entry, bytes: bytes.slice(entry.start - start, entry.end - start) };
  }
}

/** Whether a tensor goes with the one before it, in a group that begins at byte `start`. */
function isNeighbour(entries: readonly TensorEntry[], index: number, start: number): boolean {
  const entry = entries[index]!;
  return entry.start === entries[index - 1]!.end && entry.end - start <= GROUP_BYTES;
}

/** The same tensor with its values expanded to f32, exactly. */
export function asFloat32(tensor: WeightTensor): WeightTensor {
  if (tensor.dtype === 'f32') return tensor;
  const values = toFloat32(tensor.bytes, tensor.dtype);
  return { ...tensor, dtype: 'f32', bytes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength) };
}
