import { BYTES_PER_ELEMENT, elementCount, type FloatDType, type WeightDType } from './dtypes';

/** A named tensor with its little-endian bytes: how adapters are read and written. */
export interface WeightTensor {
  readonly name: string;
  readonly dtype: FloatDType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** A tensor of a training state: a weight, or the 8-bit codes of an optimiser's moments. */
export interface StateTensor extends Omit<WeightTensor, 'dtype'> {
  readonly dtype: FloatDType | 'u8';
}

/** A tensor of a training state whose bytes come piece by piece, in order, each a whole number of words but the last. */
export interface StateEntry extends Omit<StateTensor, 'bytes'> {
  pieces(): AsyncIterable<Uint8Array>;
}

/** A tensor of a state with all of its bytes. */
export async function wholeTensor(tensor: StateTensor | StateEntry): Promise<StateTensor> {
  if ('bytes' in tensor) return tensor;
  const { name, dtype, shape } = tensor;
  const bytes = new Uint8Array(elementCount(shape) * (dtype === 'u8' ? 1 : BYTES_PER_ELEMENT[dtype]));
  let filled = 0;
  for await (const piece of tensor.pieces()) {
    bytes.set(piece, filled);
    filled += piece.byteLength;
  }
  return { name, dtype, shape, bytes };
}

/** How far a weight file was read: what is needed to go on from there. */
export interface FileProgress {
  readonly file: string;
  /** Byte that the next tensor begins with, or the file's end. */
  readonly offset: number;
  /** State of the running SHA-256 over the file's first `offset` bytes; empty where nobody tells the file's own. */
  readonly hash: Uint8Array;
  /** SHA-256 of the file's header, which `hash` covers: whoever goes on must have read the same one. */
  readonly header?: string;
}

/**
 * Base weights on their way to the engine. A large tensor comes in slices of whole rows, in order and without another
 * tensor between them, cut by `sliceRows`: so no model needs more memory on its way than a few slices.
 */
export interface WeightSlice extends WeightTensor {
  /** The whole tensor's. */
  readonly shape: readonly number[];
  /** The row that `bytes` begins with; absent, `bytes` is the whole tensor. */
  readonly firstRow?: number;
  /** How far the file is read with this slice, a tensor's last: given by sources that can go on from there. */
  readonly progress?: FileProgress;
}

/**
 * A piece of a session's leaf exactly as the GPU holds it (codes and scales, `core/quantization.ts`), kept so that the
 * next session need not convert or quantise again. Pieces of a leaf come in order.
 */
export interface StoredSlice {
  /** The leaf's: a table in parts has several. */
  readonly name: string;
  readonly stored: WeightDType;
  /** The leaf's. */
  readonly shape: readonly number[];
  /** The byte of the leaf that `bytes` begins with: a multiple of 4. */
  readonly start: number;
  readonly bytes: Uint8Array;
}

/** Weights as a file has them: what sources give, and what merging takes. */
export type WeightStream = AsyncIterable<WeightSlice>;

/** What a session loads: weights as a file has them, converted and quantised on the way, and leaves that are ready. */
export type LoadStream = AsyncIterable<WeightSlice | StoredSlice>;

/** Is given each parameter that came as a file has it, once it is loaded: its leaves, read back from the GPU. */
export type KeepParameter = (name: string, leaves: AsyncIterable<StoredSlice>) => Promise<void>;

/** Slices begin at multiples of this many rows: blocks of quantised types and parts of tables are whole in them. */
const ROW_STEP = 64;
const SLICE_BYTES = 16 * 2 ** 20;

/** Rows of a tensor [rows, …] that travel at once: the same for every source, so that hashes of slices compare. */
export function sliceRows(shape: readonly number[], dtype: FloatDType): number {
  const [rows = 1, ...rest] = shape;
  const stepBytes = ROW_STEP * rest.reduce((product, size) => product * size, BYTES_PER_ELEMENT[dtype]);
  return Math.min(rows, ROW_STEP * Math.max(1, Math.floor(SLICE_BYTES / stepBytes)));
}

/** Puts slices together again; a stream of whole tensors passes as it is. */
export async function* wholeTensors(stream: WeightStream): AsyncGenerator<WeightTensor> {
  let parts: Uint8Array[] = [];
  let held = 0;
  for await (const slice of stream) {
    const { name, dtype, shape, bytes } = slice;
    const size = elementCount(shape) * BYTES_PER_ELEMENT[dtype];
    if (bytes.byteLength === size) {
      yield slice;
      continue;
    }
    parts.push(bytes);
    held += bytes.byteLength;
    if (held < size) continue;
    const whole = new Uint8Array(size);
    let start = 0;
    for (const part of parts) {
      whole.set(part, start);
      start += part.byteLength;
    }
    [parts, held] = [[], 0];
    yield { name, dtype, shape, bytes: whole };
  }
}
