/**
 * Blocks of 32 elements as llama.cpp's reference quantisers store them without an importance matrix (quantize_row_*_ref of
 * ggml-quants.c), in the f32 arithmetic that they are defined in.
 */
import { BLOCK, FIFTH_BITS, storeFiveBits, storeFourBits, storeScale } from './blocks';

/** Stores the block of elements from `from` on, all finite, at byte `to` of `stored`. */
export type QuantizeBlock = (values: Float32Array, from: number, stored: Uint8Array, to: number) => void;

const { abs, fround, min, trunc } = Math;

const codes = new Uint8Array(BLOCK);

/** 1 / value in f32, and 0 of 0. */
function inverse(value: number): number {
  return value === 0 ? 0 : fround(1 / value);
}

/** The element farthest from 0, the first of several. */
function farthest(values: Float32Array, from: number): number {
  let found = 0;
  for (let i = from; i < from + BLOCK; i++) if (abs(values[i]!) > abs(found)) found = values[i]!;
  return found;
}

/** The scale is the largest size over 127; elements are rounded, halves away from 0. */
export const quantizeQ8_0: QuantizeBlock = (values, from, stored, to) => {
  const scale = fround(abs(farthest(values, from)) / 127);
  const factor = inverse(scale);
  storeScale(stored, to, scale);
  for (let i = 0; i < BLOCK; i++) {
    const scaled = fround(values[from + i]! * factor);
    stored[to + 2 + i] = scaled < 0 ? -trunc(0.5 - scaled) : trunc(scaled + 0.5);
  }
};

/** The element farthest from 0 becomes the lowest code. */
export const quantizeQ4_0: QuantizeBlock = (values, from, stored, to) => {
  storeScale(stored, to, fromLowest(values, from, 8));
  storeFourBits(stored, to + 2, codes);
};

export const quantizeQ5_0: QuantizeBlock = (values, from, stored, to) => {
  storeScale(stored, to, fromLowest(values, from, 16));
  storeFiveBits(stored, to + FIFTH_BITS.Q5_0, codes);
};

/** Fills `codes`, which are 0 to 2 · half - 1 and mean themselves less `half`, and gives their scale. */
function fromLowest(values: Float32Array, from: number, half: number): number {
  const scale = fround(farthest(values, from) / -half);
  const factor = inverse(scale);
  for (let i = 0; i < BLOCK; i++) {
    const scaled = fround(values[from + i]! * factor);
    codes[i] = min(2 * half - 1, trunc(fround(scaled + (half + 0.5))));
  }
  return scale;
}

/** Codes are 0 to 31 from the least element to the largest. */
export const quantizeQ5_1: QuantizeBlock = (values, from, stored, to) => {
  let [least, most] = [Infinity, -Infinity];
  for (let i = from; i < from + BLOCK; i++) {
    // Not by Math.min, to which -0 is less than 0.
    if (values[i]! < least) least = values[i]!;
    if (values[i]! > most) most = values[i]!;
  }
  const scale = fround(fround(most - least) / 31);
  const factor = inverse(scale);
  for (let i = 0; i < BLOCK; i++) {
    const scaled = fround(fround(values[from + i]! - least) * factor);
    codes[i] = trunc(fround(scaled + 0.5));
  }
  storeScale(stored, to, scale);
  storeScale(stored, to + 2, least);
  storeFiveBits(stored, to + FIFTH_BITS.Q5_1, codes);
};
