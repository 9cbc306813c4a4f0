/**
 * Blocks of 32 quantised elements as ggml lays them out (ggml-common.h), and what they stand for (dequantize_row_* of
 * ggml-quants.c). An 11-bit scale times a number of at most 8 bits has 19, so f32 holds a product exactly; a sum is rounded
 * once, as in ggml's own f32 arithmetic. Beside each way to read a part stands the way to store it.
 */
import { f16ToF32, f32ToF16 } from '../../core/dtypes';

export const BLOCK = 32;
const HALF = BLOCK / 2;

/** Expands one block at byte `from` of `stored` to elements from `to` on. */
export type ExpandBlock = (stored: Uint8Array, from: number, values: Float32Array, to: number) => void;

/** Where a block of Q5_0 and Q5_1 has its fifth bits. */
export const FIFTH_BITS = { Q5_0: 2, Q5_1: 4 } as const;

/** The f16 at byte `from`. */
export function scaleAt(stored: Uint8Array, from: number): number {
  return f16ToF32(stored[from]! | (stored[from + 1]! << 8));
}

/** Stores the f16 nearest to `scale` at byte `from`, and returns it. */
export function storeScale(stored: Uint8Array, from: number, scale: number): number {
  const bits = f32ToF16(scale);
  stored[from] = bits & 255;
  stored[from + 1] = bits >> 8;
  return f16ToF32(bits);
}

/** The signed byte at `from`. */
export function int8At(stored: Uint8Array, from: number): number {
  return (stored[from]! << 24) >> 24;
}

/** An f16 scale, then 32 signed bytes. */
export const expandQ8_0: ExpandBlock = (stored, from, values, to) => {
  const scale = scaleAt(stored, from);
  for (let i = 0; i < BLOCK; i++) values[to + i] = int8At(stored, from + 2 + i) * scale;
};

/** An f16 scale, then 16 bytes: low halves are elements 0 to 15, high halves 16 to 31, each 8 too large. */
export const expandQ4_0: ExpandBlock = (stored, from, values, to) => {
  const scale = scaleAt(stored, from);
  for (let i = 0; i < HALF; i++) {
    const pair = stored[from + 2 + i]!;
    values[to + i] = ((pair & 15) - 8) * scale;
    values[to + i + HALF] = ((pair >> 4) - 8) * scale;
  }
};

/** As Q4_0 with an f16 minimum after the scale, which takes the place of the 8. */
export const expandQ4_1: ExpandBlock = (stored, from, values, to) => {
  const [scale, least] = [scaleAt(stored, from), scaleAt(stored, from + 2)];
  for (let i = 0; i < HALF; i++) {
    const pair = stored[from + 4 + i]!;
    values[to + i] = (pair & 15) * scale + least;
    values[to + i + HALF] = (pair >> 4) * scale + least;
  }
};

/** An f16 scale, 32 fifth bits, then low bits as in Q4_0; each is 16 too large. */
export const expandQ5_0: ExpandBlock = (stored, from, values, to) => {
  const scale = scaleAt(stored, from);
  for (let i = 0; i < BLOCK; i++) values[to + i] = (fiveBits(stored, from + FIFTH_BITS.Q5_0, i) - 16) * scale;
};

/** As Q5_0 with an f16 minimum after the scale, which takes the place of the 16. */
export const expandQ5_1: ExpandBlock = (stored, from, values, to) => {
  const [scale, least] = [scaleAt(stored, from), scaleAt(stored, from + 2)];
  for (let i = 0; i < BLOCK; i++) values[to + i] = fiveBits(stored, from + FIFTH_BITS.Q5_1, i) * scale + least;
};

/** Element `i` of 4 bytes of fifth bits and 16 of low ones, which begin at `from`. */
function fiveBits(stored: Uint8Array, from: number, i: number): number {
  const fifth = (stored[from + (i >> 3)]! >> (i & 7)) & 1;
  const pair = stored[from + 4 + (i % HALF)]!;
  return (i < HALF ? pair & 15 : pair >> 4) | (fifth << 4);
}

/** Stores 32 elements of 4 bits in the 16 bytes from `from` on. */
export function storeFourBits(stored: Uint8Array, from: number, codes: Uint8Array): void {
  for (let i = 0; i < HALF; i++) stored[from + i] = (codes[i]! & 15) | ((codes[i + HALF]! & 15) << 4);
}

/** Stores 32 elements of 5 bits: 4 bytes of fifth bits, then 16 of low ones. */
export function storeFiveBits(stored: Uint8Array, from: number, codes: Uint8Array): void {
  stored.fill(0, from, from + 4);
  for (let i = 0; i < BLOCK; i++) stored[from + (i >> 3)]! |= (codes[i]! >> 4) << (i & 7);
  storeFourBits(stored, from + 4, codes);
}
