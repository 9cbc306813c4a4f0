/**
 * Super-blocks of 256 quantised elements, the "K" types, as ggml lays them out (ggml-common.h), and what they stand for
 * (dequantize_row_* of ggml-quants.c). Groups of 16 or 32 elements have small scales of their own, which an f16 scales in
 * turn. f32 holds every product but Q6_K's last exactly; that and each sum are rounded once, as in ggml's own arithmetic.
 * Beside each way to read a part stands the way to store it, where Graft writes the type.
 */
import { int8At, scaleAt, type ExpandBlock } from './blocks';

export const SUPER_BLOCK = 256;

/** Bytes of a block before its parts. */
export const Q4_K = { least: 2, scales: 4, low: 16 } as const;
export const Q5_K = { least: 2, scales: 4, fifth: 16, low: 48 } as const;
export const Q6_K = { low: 0, high: 128, scales: 192, scale: 208 } as const;

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
  const [scale, leastScale] = [scaleAt(stored, from), scaleAt(stored, from + Q4_K.least)];
  const scales = from + Q4_K.scales;
  for (let i = 0; i < SUPER_BLOCK; i++) {
    const group = i >> 5;
    const element = fourBits(stored, from + Q4_K.low, i);
    values[to + i] = scale * scaleOf(stored, scales, group) * element - leastScale * leastOf(stored, scales, group);
  }
};

/** As Q4_K with 32 bytes of fifth bits before the elements. */
export const expandQ5_K: ExpandBlock = (stored, from, values, to) => {
  const [scale, leastScale] = [scaleAt(stored, from), scaleAt(stored, from + Q5_K.least)];
  const scales = from + Q5_K.scales;
  for (let i = 0; i < SUPER_BLOCK; i++) {
    const group = i >> 5;
    const fifth = (stored[from + Q5_K.fifth + (i & 31)]! >> group) & 1;
    const element = fourBits(stored, from + Q5_K.low, i) | (fifth << 4);
    values[to + i] = scale * scaleOf(stored, scales, group) * element - leastScale * leastOf(stored, scales, group);
  }
};

/** 128 bytes of low halves, 64 of two high bits, a signed byte of scale for 16 elements each, an f16 scale for all. */
export const expandQ6_K: ExpandBlock = (stored, from, values, to) => {
  const [low, high, scales] = [from + Q6_K.low, from + Q6_K.high, from + Q6_K.scales];
  const scale = scaleAt(stored, from + Q6_K.scale);
  for (let i = 0; i < SUPER_BLOCK; i++) {
    const element = ((stored[low + lowByte(i)]! >> lowShift(i)) & 15) | (twoBits(stored, high, i) << 4);
    values[to + i] = scale * int8At(stored, scales + (i >> 4)) * (element - 32);
  }
};

/** Of Q6_K's low halves, the byte with that of element `i`: halves of 128 elements have 64 bytes each, in four stretches of 32. */
function lowByte(i: number): number {
  return 64 * (i >> 7) + (i & 63);
}
function lowShift(i: number): number {
  return (i & 64) === 0 ? 0 : 4;
}

/** Stores 256 elements of 6 bits. */
export function storeQ6(stored: Uint8Array, from: number, codes: Uint8Array): void {
  stored.fill(0, from + Q6_K.low, from + Q6_K.scales);
  for (let i = 0; i < SUPER_BLOCK; i++) {
    stored[from + Q6_K.low + lowByte(i)]! |= (codes[i]! & 15) << lowShift(i);
    stored[from + Q6_K.high + twoBitsByte(i)]! |= (codes[i]! >> 4) << twoBitsShift(i);
  }
}

/** Element `i` of 64 bytes: halves of 128 elements have 32 bytes each, whose bit pairs are four stretches of 32. */
function twoBits(stored: Uint8Array, from: number, i: number): number {
  return (stored[from + twoBitsByte(i)]! >> twoBitsShift(i)) & 3;
}
function twoBitsByte(i: number): number {
  return 32 * (i >> 7) + (i & 31);
}
function twoBitsShift(i: number): number {
  return 2 * ((i >> 5) & 3);
}

/** Element `i` of 128 bytes: 32 bytes hold 64 elements, the first 32 in their low halves. */
function fourBits(stored: Uint8Array, from: number, i: number): number {
  return (stored[from + 32 * (i >> 6) + (i & 31)]! >> ((i & 32) === 0 ? 0 : 4)) & 15;
}

/** Stores the low four bits of 256 elements so. */
export function storeLowBits(stored: Uint8Array, from: number, codes: Uint8Array): void {
  stored.fill(0, from, from + SUPER_BLOCK / 2);
  for (let i = 0; i < SUPER_BLOCK; i++) {
    stored[from + 32 * (i >> 6) + (i & 31)]! |= (codes[i]! & 15) << ((i & 32) === 0 ? 0 : 4);
  }
}

/** Stores the fifth bits of 256 elements of Q5_K. */
export function storeFifthBits(stored: Uint8Array, from: number, codes: Uint8Array): void {
  stored.fill(0, from, from + SUPER_BLOCK / 8);
  for (let i = 0; i < SUPER_BLOCK; i++) stored[from + (i & 31)]! |= (codes[i]! >> 4) << (i >> 5);
}

/** Of 12 bytes the first four hold scales of groups 0 to 3 in six bits, and in their highest two what groups 4 to 7 lack. */
export function scaleOf(stored: Uint8Array, from: number, group: number): number {
  if (group < 4) return stored[from + group]! & 63;
  return (stored[from + group + 4]! & 15) | ((stored[from + group - 4]! >> 6) << 4);
}

/** The next four bytes hold the minima likewise; the low halves of the last four are scales, and the high ones minima. */
export function leastOf(stored: Uint8Array, from: number, group: number): number {
  if (group < 4) return stored[from + group + 4]! & 63;
  return (stored[from + group + 4]! >> 4) | ((stored[from + group]! >> 6) << 4);
}

/** Stores eight scales and eight minima of six bits in those 12 bytes. */
export function storeScales(stored: Uint8Array, from: number, scales: Uint8Array, least: Uint8Array): void {
  for (let group = 0; group < 4; group++) {
    stored[from + group] = scales[group]! | ((scales[group + 4]! >> 4) << 6);
    stored[from + group + 4] = least[group]! | ((least[group + 4]! >> 4) << 6);
    stored[from + group + 8] = (scales[group + 4]! & 15) | ((least[group + 4]! & 15) << 4);
  }
}
