/** Tensors under llama.cpp's names to tensors under the Hub's, and what the converter did to them, undone. */
import { toFloat32 } from '../../core/dtypes';
import { GraftError } from '../../core/errors';
import type { FileSource } from '../../core/store';
import type { GgufArchitecture } from './architectures';
import type { GgufHeader, GgufTensor } from './header';
import { hubName } from './names';
import { expand, EXPANDED_DTYPES, type GgmlType } from './types';

/** A tensor as a Hub file would hold it, with what the converter did to it. */
export interface HubTensor extends StorageChanges {
  readonly name: string;
  readonly dtype: GgmlType['expanded'];
  readonly shape: readonly number[];
  readonly stored: GgufTensor;
}

/** Tables of the rotary embedding: they are read into the config. */
const ROTARY = /^rope_(freqs|factors_long|factors_short)\.weight$|^blk\.\d+\.attn_rot_embd\.weight$/;

/** What a parameter goes through on its way into a file. */
export interface StorageChanges {
  /** Heads whose rows are interleaved for llama.cpp's own rotary embedding. */
  readonly interleavedHeads: number | undefined;
  /** What is added to each element. */
  readonly shift: number;
}

/** Of the parameter with this Hub name. */
export function changesOf(name: string, { norms, rotary, heads, keyValueHeads }: GgufArchitecture): StorageChanges {
  const projection = rotary === 'interleaved' ? /\.self_attn\.([qk])_proj\.(weight|bias)$/.exec(name)?.[1] : undefined;
  return {
    shift: norms === 'shifted' && name.endsWith('norm.weight') ? 1 : 0,
    interleavedHeads: projection === 'q' ? heads : projection === 'k' ? keyValueHeads : undefined,
  };
}

/**
 * The model's tensors, in the order of the file. One with a name of its own keeps it, and is refused as a stranger; one
 * without elements says nothing.
 */
export function hubTensors(header: GgufHeader, architecture: GgufArchitecture): HubTensor[] {
  return header.tensors
    .filter(({ name, start, end }) => !ROTARY.test(name) && end > start)
    .map((stored) => {
      const name = hubName(stored.name, architecture);
      const { shift, interleavedHeads } = changesOf(name, architecture);
      if (interleavedHeads !== undefined && !(stored.shape[0]! % (2 * interleavedHeads) === 0)) {
        throw new GraftError(
          'bad-file',
          `${header.file}: ${stored.name} has ${stored.shape[0]} rows, which are no ${interleavedHeads} heads of an even size.`,
        );
      }
      return {
        name,
        dtype: shift === 0 ? stored.type.expanded : 'F32',
        shape: stored.shape,
        stored,
        interleavedHeads,
        shift,
      };
    });
}

/** Bytes of an element of the tensor as a Hub file holds it. */
export function elementBytes({ dtype }: HubTensor): number {
  return dtype === 'F32' ? 4 : 2;
}

/** Bytes `start` (inclusive) to `end` (exclusive) of the tensor as a Hub file holds it. */
export async function readHubBytes(
  source: FileSource,
  tensor: HubTensor,
  start: number,
  end: number,
): Promise<Uint8Array> {
  const { type, shape } = tensor.stored;
  const columns = shape.length === 1 && type.blockElements === 1 ? 1 : shape.at(-1)!;
  const rowBytes = columns * elementBytes(tensor);
  const rows = { first: Math.floor(start / rowBytes), end: Math.ceil(end / rowBytes) };
  const bytes = await readRows(source, tensor, rows, columns);
  return bytes.subarray(start - rows.first * rowBytes, end - rows.first * rowBytes);
}

interface Rows {
  readonly first: number;
  readonly end: number;
}

async function readRows(source: FileSource, tensor: HubTensor, rows: Rows, columns: number): Promise<Uint8Array> {
  const { stored, shape, interleavedHeads, shift } = tensor;
  const { type } = stored;
  const allRows = shape.reduce((product, n) => product * n, 1) / columns;
  const headRows = interleavedHeads === undefined ? 1 : allRows / interleavedHeads;
  // Rows of a head are read together, for each may lie anywhere in it.
  const first = Math.floor(rows.first / headRows) * headRows;
  const end = Math.ceil(rows.end / headRows) * headRows;
  const storedRow = (columns / type.blockElements) * type.blockBytes;
  const read = await source.read(stored.file, stored.start + first * storedRow, stored.start + end * storedRow);
  let bytes = expand(type, read);
  if (shift !== 0) bytes = shifted(bytes, type, -shift);
  if (interleavedHeads === undefined) return bytes;
  return separated(
    bytes,
    { first: rows.first - first, end: rows.end - first },
    headRows,
    columns * elementBytes(tensor),
  );
}

/** Rows of heads whose two halves were interleaved row by row (the converter's `permute`), apart again. */
function separated(bytes: Uint8Array, rows: Rows, headRows: number, rowBytes: number): Uint8Array {
  const result = new Uint8Array((rows.end - rows.first) * rowBytes);
  for (let row = rows.first; row < rows.end; row++) {
    const from = storedRow(row, headRows);
    result.set(bytes.subarray(from * rowBytes, (from + 1) * rowBytes), (row - rows.first) * rowBytes);
  }
  return result;
}

/** Where a row lies once the halves of its head are interleaved: row i of half h is stored as row 2 i + h. */
function storedRow(row: number, headRows: number): number {
  const within = row % headRows;
  const half = headRows / 2;
  return row - within + 2 * (within % half) + (within < half ? 0 : 1);
}

/** The row that is stored there: the other way round. */
export function rowStoredAt(stored: number, headRows: number): number {
  const within = stored % headRows;
  return stored - within + (within >> 1) + (within % 2 === 0 ? 0 : headRows / 2);
}

function shifted(bytes: Uint8Array, { expanded }: GgmlType, by: number): Uint8Array {
  const values = Float32Array.from(toFloat32(bytes, EXPANDED_DTYPES[expanded]), (value) => value + by);
  return new Uint8Array(values.buffer);
}
