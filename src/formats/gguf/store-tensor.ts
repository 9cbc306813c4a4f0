/** A parameter's bytes as a GGUF file stores them, piece by piece: `tensors.ts` the other way round. */
import { BYTES_PER_ELEMENT, toFloat32, type FloatDType } from '../../core/dtypes';
import { GraftError } from '../../core/errors';
import { rowStoredAt, type StorageChanges } from './tensors';
import { EXPANDED_DTYPES, store, type GgmlType } from './types';

/** How a parameter is stored. */
export interface Storage extends StorageChanges {
  /** llama.cpp's name. */
  readonly name: string;
  readonly type: GgmlType;
  /** Rows first. */
  readonly shape: readonly number[];
  /** What each element is multiplied with, after the shift. */
  readonly factor: number;
}

/** Elements that are worked on at once. */
const PIECE_ELEMENTS = 2 ** 20;

/** The largest number of f16. */
const MOST_OF_F16 = 65_504;

/** Whether the bytes stay as they are. */
function isCopied({ type, interleavedHeads, shift, factor }: Storage, dtype: FloatDType): boolean {
  const isSame = !type.expandBlock && EXPANDED_DTYPES[type.expanded] === dtype;
  return isSame && interleavedHeads === undefined && shift === 0 && factor === 1;
}

/**
 * The tensor's bytes in the file.
 * @param bytes of the whole parameter, in `dtype`
 * @throws `bad-file` for values that are no finite numbers, or are none in f16
 */
export function* storedPieces(storage: Storage, bytes: Uint8Array, dtype: FloatDType): Generator<Uint8Array> {
  if (isCopied(storage, dtype)) {
    yield bytes;
    return;
  }
  for (const values of changedPieces(storage, bytes, dtype)) {
    refuseInfinite(storage, values);
    yield store(storage.type, values);
  }
}

/** The values in the order in which they are stored, before they are rounded or quantised. */
export function* changedPieces(storage: Storage, bytes: Uint8Array, dtype: FloatDType): Generator<Float32Array> {
  const { shape, interleavedHeads, shift, factor } = storage;
  const columns = shape.length > 1 ? shape.at(-1)! : 1;
  const rows = shape.reduce((product, n) => product * n, 1) / columns;
  const rowBytes = columns * BYTES_PER_ELEMENT[dtype];
  const step = Math.max(1, Math.floor(PIECE_ELEMENTS / columns));
  for (let first = 0; first < rows; first += step) {
    const end = Math.min(rows, first + step);
    const values = new Float32Array((end - first) * columns);
    if (interleavedHeads === undefined) {
      values.set(toFloat32(bytes.subarray(first * rowBytes, end * rowBytes), dtype));
    } else {
      for (let row = first; row < end; row++) {
        const from = rowStoredAt(row, rows / interleavedHeads);
        const own = toFloat32(bytes.subarray(from * rowBytes, (from + 1) * rowBytes), dtype);
        values.set(own, (row - first) * columns);
      }
    }
    if (shift !== 0 || factor !== 1) {
      for (let i = 0; i < values.length; i++) values[i] = Math.fround(values[i]! + shift) * factor;
    }
    yield values;
  }
}

function refuseInfinite({ name, type }: Storage, values: Float32Array): void {
  const most = type.name === 'F16' ? MOST_OF_F16 : Infinity;
  const odd = values.find((value) => !Number.isFinite(value) || Math.abs(value) > most);
  if (odd === undefined) return;
  throw new GraftError(
    'bad-file',
    Number.isFinite(odd)
      ? `${name} has the value ${odd}, which F16 can't hold: choose BF16 or F32.`
      : `${name} has values that are no finite numbers: the weights are damaged, or come from a training that diverged.`,
  );
}
