/** How the head's work is laid out: tiles of the vocabulary, chunks of labelled rows, and the scratch of a chunk. */
import { elementCount } from '../../core/dtypes';
import { byteSize, isQuantized, rowsOf, type Operand, type Tensor, type TensorType } from '../graph/tensor';

/** Most rows of W in a tile: long sums are summed in parts of this, which keeps their error small. */
const TILE_ROWS = 16384;

/** Logits of a row that a workgroup takes. */
export const SLICE = 4096;

/** Logits of the least chunk stay below this, or are those of `ROW_STEP` rows where the vocabulary is larger yet. */
const LOGITS_BYTES = 32 * 1024 * 1024;

/** Chunks of rows begin at multiples of this, so that bindings of whole rows of any width are aligned. */
const ROW_STEP = 64;

/** Most rows of a chunk where W is trained: what is summed over its rows is summed over missing ones too. */
const TRAINED_ROWS = 256;

/** A range of the vocabulary whose logits are computed together. */
export interface Tile {
  readonly weights: Operand;
  readonly dWeights: Operand | undefined;
  readonly columns: number;
  readonly firstColumn: number;
  readonly slices: number;
  readonly firstSlice: number;
}

/** Parts of a quantised table are not cut: a range of a buffer has the codes of rows but not their scales. */
export function tilesOf({
  table,
  dTable,
}: {
  readonly table: readonly Tensor[];
  readonly dTable: readonly Tensor[];
}): Tile[] {
  const tiles: Tile[] = [];
  let firstColumn = 0;
  let firstSlice = 0;
  table.forEach((part, i) => {
    const rows = part.shape[0]!;
    const most = isQuantized(part.dtype) ? rows : TILE_ROWS;
    for (let first = 0; first < rows; first += most) {
      const columns = Math.min(most, rows - first);
      const slices = Math.ceil(columns / SLICE);
      const dWeights = dTable[i] && rowsOf(dTable[i], first, columns);
      tiles.push({ weights: rowsOf(part, first, columns), dWeights, columns, firstColumn, slices, firstSlice });
      firstColumn += columns;
      firstSlice += slices;
    }
  });
  return tiles;
}

/** What the head works on: all rows [rows, channels] and tiles of the vocabulary. */
export interface HeadSizes {
  readonly rows: number;
  readonly channels: number;
  /** Columns of each tile. */
  readonly columns: readonly number[];
  readonly trained: boolean;
  /** Tokens that have rows of their own. */
  readonly tokens?: number;
}

/** Scratch of a chunk of rows. */
export interface ChunkScratch {
  readonly rows: number;
  /** Hidden states of its rows, and then their gradient, [rows, C]. */
  readonly hidden: Tensor;
  /** Log-sum-exp of each row. */
  readonly lse: Tensor;
  readonly labelLogit: Tensor;
  /** Maximum and sum of every slice of a row. */
  readonly statistics: Tensor;
  /** Logits of the tokens that have rows of their own, where there are such. */
  readonly tokenLogits: Tensor | undefined;
  /** Logits of tile i of the first `rows` rows of a chunk. */
  logits(i: number, rows: number): Operand;
}

const f32 = (...shape: number[]): TensorType => ({ shape, dtype: 'f32' });

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

/** All slices of a row of logits. */
export function slicesOf(columns: readonly number[]): number {
  return sum(columns.map((count) => Math.ceil(count / SLICE)));
}

function rowBuffers(rows: number, { channels, columns, tokens = 0 }: HeadSizes): TensorType[] {
  const all = [f32(rows, channels), f32(rows), f32(rows), f32(rows, 2 * slicesOf(columns))];
  return tokens > 0 ? [...all, f32(rows, tokens)] : all;
}

/** Rows of the least chunk. */
export function chunkRows(rows: number, vocab: number): number {
  const fitting = Math.floor(LOGITS_BYTES / (4 * vocab) / ROW_STEP) * ROW_STEP;
  return Math.min(rows, Math.max(ROW_STEP, fitting));
}

/** Scratch that is always there: of as many rows as `LOGITS_BYTES` hold. */
export function leastScratch(sizes: HeadSizes): TensorType[] {
  const { rows, columns } = sizes;
  const chunk = chunkRows(rows, sum(columns));
  return [...rowBuffers(chunk, sizes), ...columns.map((count) => f32(chunk, count))];
}

/**
 * Scratch of larger chunks, as even as may be, in free slots of that many bytes, largest first: what is by row has a slot
 * each, as kernels bind it beside logits, and tiles of logits lie one after the other in the others. None where nothing
 * more than the least scratch fits.
 */
export function roomierScratch(sizes: HeadSizes, free: readonly number[]): (TensorType | undefined)[] {
  const least = leastScratch(sizes)[0]!.shape[0]!;
  if (least === sizes.rows) return [];
  const steps = Math.ceil(sizes.rows / ROW_STEP);
  for (let chunks = 1; ; chunks++) {
    const rows = ROW_STEP * Math.ceil(steps / chunks);
    if (rows <= least) return [];
    if (sizes.trained && rows > TRAINED_ROWS) continue;
    const placed = placeScratch(rows, sizes, free);
    if (placed) return placed;
  }
}

function placeScratch(rows: number, sizes: HeadSizes, free: readonly number[]): (TensorType | undefined)[] | undefined {
  const placed: (TensorType | undefined)[] = free.map(() => undefined);
  for (const type of rowBuffers(rows, sizes)) {
    const slot = free.findLastIndex((bytes, i) => !placed[i] && bytes >= byteSize(type));
    if (slot < 0) return undefined;
    placed[slot] = type;
  }
  let tile = 0;
  for (let slot = 0; slot < free.length && tile < sizes.columns.length; slot++) {
    if (placed[slot]) continue;
    let words = 0;
    while (tile < sizes.columns.length && 4 * (words + rows * sizes.columns[tile]!) <= free[slot]!) {
      words += rows * sizes.columns[tile++]!;
    }
    if (words > 0) placed[slot] = f32(words);
  }
  return tile === sizes.columns.length ? placed : undefined;
}

/** Names what `leastScratch` or `roomierScratch` have laid out, the latter with its slots in order. */
export function chunkScratch(tensors: readonly Tensor[], sizes: HeadSizes): ChunkScratch {
  const { channels, columns } = sizes;
  const left = [...tensors];
  const rows = left.find(({ shape }) => shape.length === 2 && shape[1] === channels)!.shape[0]!;
  const take = ({ shape }: TensorType) =>
    left.splice(
      left.findIndex((tensor) => tensor.shape.join() === shape.join()),
      1,
    )[0]!;
  const [hidden, lse, labelLogit, statistics, tokenLogits] = rowBuffers(rows, sizes).map(take) as [
    Tensor,
    Tensor,
    Tensor,
    Tensor,
    Tensor?,
  ];
  const places: { readonly slab: Tensor; readonly offset: number }[] = [];
  for (const slab of left) {
    const size = elementCount(slab.shape);
    let words = 0;
    while (places.length < columns.length && words + rows * columns[places.length]! <= size) {
      const offset = 4 * words;
      words += rows * columns[places.length]!;
      places.push({ slab, offset });
    }
  }
  const logits = (i: number, count: number): Operand => {
    const { slab, offset } = places[i]!;
    return { tensor: slab, offset, dtype: 'f32', shape: [count, columns[i]!] };
  };
  return { rows, hidden, lse, labelLogit, statistics, tokenLogits, logits };
}
