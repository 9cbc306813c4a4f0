/**
 * Super-blocks of 256 quantised elements, the "K" types, as ggml lays them out (ggml-common.h), and what they stand for
 * (dequantize_row_* of ggml-quants.c). Groups of 16 or 32 elements have small scales of their own, which an f16 scales in
 * turn. f32 holds every product but Q6_K's last exactly; that and each sum are rounded once, as in ggml's own arithmetic.
 */
import { int8At, scaleAt, type ExpandBlock } from './blocks';

export const SUPER_BLOCK = 256;

/** 16 bytes of a scale and a minimum of 4 bits for 16 elements each, 64 bytes of 2-bit elements, their f16 scale and that of minima. */
export const expandQ2_K: ExpandBlock = (stored, from, values, to) => {
  const [scale, leastScale] = [scaleAt(stored, from + 80), scaleAt(stored, from + 82)];
  for (let i = 0; i < SUPER_BLOCK; i++) {
    const group = stored[from + (i >> 4)]!;
    const element = twoBits(stored, from + 16, i);
    values[to + i] = scale * (group & 15) * element - leastScale * (group >> 4);
  }
};

/** 32 bytes of high bits, 64 bytes of 2-bit elements, 12 bytes of 6-bit scales, an f16 scale. Without its high bit an element is 4 less. */
export const expandQ3_K: ExpandBlock = (stored, from, values, to) => {
  const [low, scales] = [from + 32, from + 96];
  const scale = scaleAt(stored, from + 108);
  for (let i = 0; i < SUPER_BLOCK; i++) {
    const group = i >> 4;
    const fourBits = (stored[scales + (group & 7)]! >> (group < 8 ? 0 : 4)) & 15;
    const groupScale = (fourBits | (((stored[scales + 8 + (group & 3)]! >> (2 * (group >> 2))) & 3) << 4)) - 32;
    const high = (stored[from + (i & 31)]! >> (i >> 5)) & 1;
    values[to + i] = scale * groupScale * (twoBits(stored, low, i) - (high === 1 ? 0 : 4));
  }
};

/** An f16 scale and one of minima, 12 bytes of 6-bit scales and minima for 32 elements each, 128 bytes of 4-bit elements. */
export const expandQ4_K: ExpandBlock = (stored, from, values, to) => {
  const [scale, leastScale] = [scaleAt(stored, from), scaleAt(stored, from + 2)];
  for (let i = 0; i < SUPER_BLOCK; i++) {
    const group = i >> 5;
    const element = fourBits(stored, from + 16, i);
    values[to + i] = scale * scaleOf(stored, from + 4, group) * element - leastScale * leastOf(stored, from + 4, group);
  }
};

/** As Q4_K with 32 bytes of fifth bits before the elements. */
export const expandQ5_K: ExpandBlock = (stored, from, values, to) => {
  const [scale, leastScale] = [scaleAt(stored, from), scaleAt(stored, from + 2)];
  for (let i = 0; i < SUPER_BLOCK; i++) {
    const group = i >> 5;
    const fifth = (stored[from + 16 + (i & 31)]! >> group) & 1;
    const element = fourBits(stored, from + 48, i) | (fifth << 4);
    values[to + i] = scale * scaleOf(stored, from + 4, group) * element - leastScale * leastOf(stored, from + 4, group);
  }
};

/** 128 bytes of low halves, 64 of two high bits, a signed byte of scale for 16 elements each, an f16 scale for all. */
export const expandQ6_K: ExpandBlock = (stored, from, values, to) => {
  const [high, scales] = [from + 128, from + 192];
  const scale = scaleAt(stored, from + 208);
  for (let i = 0; i < SUPER_BLOCK; i++) {
    const half = i >> 7;
    const stretch = (i >> 5) & 3;
    const low = (stored[from + 64 * half + 32 * (stretch & 1) + (i & 31)]! >> (stretch < 2 ? 0 : 4)) & 15;
    const bits = (stored[high + 32 * half + (i & 31)]! >> (2 * stretch)) & 3;
    values[to + i] = scale * int8At(stored, scales + (i >> 4)) * ((low | (bits << 4)) - 32);
  }
};

/** Element `i` of 64 bytes: halves of 128 elements have 32 bytes each, whose bit pairs are four stretches of 32. */
function twoBits(stored: Uint8Array, from: number, i: number): number {
  return (stored[from + 32 * (i >> 7) + (i & 31)]! >> (2 * ((i >> 5) & 3))) & 3;
}

/** Element `i` of 128 bytes: 32 bytes hold 64 elements, the first 32 in their low halves. */
function fourBits(stored: Uint8Array, from: number, i: number): number {
  return (stored[from + 32 * (i >> 6) + (i & 31)]! >> ((i & 32) === 0 ? 0 : 4)) & 15;
}

/** Of 12 bytes the first four hold scales of groups 0 to 3 in six bits, and in their highest two what groups 4 to 7 lack. */
function scaleOf(stored: Uint8Array, from: number, group: number): number {
  if (group < 4) return stored[from + group]! & 63;
  return (stored[from + group + 4]! & 15) | ((stored[from + group - 4]! >> 6) << 4);
}

/** The next four bytes hold the minima likewise; the low halves of the last four are scales, and the high ones minima. */
function leastOf(stored: Uint8Array, from: number, group: number): number {
  if (group < 4) return stored[from + group + 4]! & 63;
  return (stored[from + group + 4]! >> 4) | ((stored[from + group]! >> 6) << 4);
}
