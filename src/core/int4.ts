/**
 * Weights in 4 bits as GPTQ and AWQ have them: W[o, i] = (code − zero) · scale, with a scale and a zero point for each
 * group of a row's columns. How a group becomes codes is said here; which values they should stand for, the engine finds.
 */

/** A matrix [out, in]. All of it lies by column, as the files have it: what belongs to column i comes before that of i + 1. */
export interface Int4Matrix {
  readonly outFeatures: number;
  readonly inFeatures: number;
  /** 0 to 15, [in, out]. */
  readonly codes: Uint8Array;
  /** In f32, which files round to f16: [groups, out]. */
  readonly scales: Float32Array;
  /** 0 to 15, [groups, out]. */
  readonly zeros: Uint8Array;
  /** The group of each column, [in]. */
  readonly groupOf: Uint32Array;
}

/** What codes of a group stand for. */
export interface Int4Grid {
  readonly scale: number;
  readonly zero: number;
}

/** The grid of a group whose values lie between `least` and `most`. */
export type ChooseGrid = (least: number, most: number) => Int4Grid;

const LARGEST_CODE = 15;

/** The smallest scale of AWQ, times 15. */
const LEAST_RANGE = Math.fround(1e-5);

/** Zero in the middle, as AutoGPTQ has it by `sym`: codes 0 to 15 stand for −8 to 7 scales. */
export const symmetricGrid: ChooseGrid = (least, most) => {
  const largest = Math.max(-least, most);
  return { scale: Math.fround((largest === 0 ? 2 : 2 * largest) / LARGEST_CODE), zero: 8 };
};

/**
 * AutoGPTQ's without `sym`: a range that holds 0. The zero point is at least 1, as files keep one less than it in four bits
 * and readers don't agree on what −1 is there.
 */
export const asymmetricGrid: ChooseGrid = (least, most) => {
  const [from, to] = least === 0 && most === 0 ? [-1, 1] : [Math.min(least, 0), Math.max(most, 0)];
  const scale = Math.fround(Math.fround(to - from) / LARGEST_CODE);
  const zero = roundToEven(Math.fround(-from / scale));
  return zero === 0 ? { scale: Math.fround(to / (LARGEST_CODE - 1)), zero: 1 } : { scale, zero };
};

/** AWQ's: the range itself, whose zero point is kept within the codes. */
export const awqGrid: ChooseGrid = (least, most) => {
  const range = Math.max(Math.fround(most - least), LEAST_RANGE);
  const scale = Math.fround(range / LARGEST_CODE);
  return { scale, zero: clampCode(-roundToEven(Math.fround(least / scale))) };
};

/** The code that is nearest to a value, halves to even, in f32 as the reference computes it. */
export function int4Code(value: number, { scale, zero }: Int4Grid): number {
  return clampCode(roundToEven(Math.fround(value / scale)) + zero);
}

/** What a code stands for, in f32. */
export function int4Value(code: number, { scale, zero }: Int4Grid): number {
  return Math.fround((code - zero) * scale);
}

/** An empty matrix of groups of consecutive columns. */
export function emptyInt4(outFeatures: number, inFeatures: number, groupSize: number): Int4Matrix {
  const groups = Math.ceil(inFeatures / groupSize);
  return {
    outFeatures,
    inFeatures,
    codes: new Uint8Array(inFeatures * outFeatures),
    scales: new Float32Array(groups * outFeatures),
    zeros: new Uint8Array(groups * outFeatures),
    groupOf: Uint32Array.from({ length: inFeatures }, (_, i) => Math.floor(i / groupSize)),
  };
}

/** Every value [out, in] by the nearest code of its group: what both methods are held against. */
export function roundToNearest(
  values: Float32Array,
  inFeatures: number,
  groupSize: number,
  chooseGrid: ChooseGrid,
): Int4Matrix {
  const outFeatures = values.length / inFeatures;
  const matrix = emptyInt4(outFeatures, inFeatures, groupSize);
  for (let row = 0; row < outFeatures; row++) {
    for (let from = 0; from < inFeatures; from += groupSize) {
      const group = values.subarray(row * inFeatures + from, row * inFeatures + Math.min(from + groupSize, inFeatures));
      const grid = gridOf(group, chooseGrid);
      const place = (from / groupSize) * outFeatures + row;
      matrix.scales[place] = grid.scale;
      matrix.zeros[place] = grid.zero;
      for (let i = 0; i < group.length; i++) {
        matrix.codes[(from + i) * outFeatures + row] = int4Code(group[i]!, grid);
      }
    }
  }
  return matrix;
}

export function gridOf(group: Float32Array, chooseGrid: ChooseGrid): Int4Grid {
  let [least, most] = [Infinity, -Infinity];
  for (const value of group) {
    if (value < least) least = value;
    if (value > most) most = value;
  }
  return chooseGrid(least, most);
}

/** The values [out, in] that the codes stand for, in f32. `scales` are those of the matrix, or what a file made of them. */
export function dequantizeInt4(
  { outFeatures, inFeatures, codes, zeros, groupOf, scales: own }: Int4Matrix,
  scales: Float32Array = own,
): Float32Array {
  const values = new Float32Array(outFeatures * inFeatures);
  for (let column = 0; column < inFeatures; column++) {
    const group = groupOf[column]! * outFeatures;
    for (let row = 0; row < outFeatures; row++) {
      const code = codes[column * outFeatures + row]! - zeros[group + row]!;
      values[row * inFeatures + column] = code * scales[group + row]!;
    }
  }
  return values;
}

function clampCode(code: number): number {
  return Math.min(Math.max(code, 0), LARGEST_CODE);
}

/** To the nearest whole number, halves to even; of anything below 2^51. */
function roundToEven(value: number): number {
  return value + 6755399441055744 - 6755399441055744;
}
