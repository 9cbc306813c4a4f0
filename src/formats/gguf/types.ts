/** The element types of GGUF tensors that Graft reads, and their expansion, as ggml's reference code defines it. */
import { f16ToF32 } from '../../core/dtypes';

export interface GgmlType {
  readonly name: string;
  /** Elements of a block, which never crosses a row, and its bytes. */
  readonly blockElements: number;
  readonly blockBytes: number;
  /** What the elements are once expanded: 16-bit types stay, and quantised ones become f32, which holds them exactly. */
  readonly expanded: 'F32' | 'F16' | 'BF16';
}

const plain = (name: GgmlType['expanded'], bytes: number): GgmlType => ({
  name,
  blockElements: 1,
  blockBytes: bytes,
  expanded: name,
});

const BLOCK = 32;
/** An f16 scale, then 32 signed bytes. */
const Q8_0: GgmlType = { name: 'Q8_0', blockElements: BLOCK, blockBytes: 2 + BLOCK, expanded: 'F32' };
/** An f16 scale, then 16 bytes: low halves are elements 0 to 15, high halves 16 to 31, each 8 too large. */
const Q4_0: GgmlType = { name: 'Q4_0', blockElements: BLOCK, blockBytes: 2 + BLOCK / 2, expanded: 'F32' };

const SUPER_BLOCK = 256;
/**
 * What llama-quantize makes of the head in Q4_0 files: 128 bytes of low halves and 64 of two high bits, a signed byte
 * of scale for 16 elements each, and an f16 scale for all.
 */
const Q6_K: GgmlType = { name: 'Q6_K', blockElements: SUPER_BLOCK, blockBytes: 128 + 64 + 16 + 2, expanded: 'F32' };

/** By the number that stands in the file (`ggml_type`). */
export const GGML_TYPES: ReadonlyMap<number, GgmlType> = new Map([
  [0, plain('F32', 4)],
  [1, plain('F16', 2)],
  [2, Q4_0],
  [8, Q8_0],
  [14, Q6_K],
  [30, plain('BF16', 2)],
]);

/** Names of the types that are refused, for the message. */
export const OTHER_TYPES: Readonly<Record<number, string>> = {
  3: 'Q4_1',
  6: 'Q5_0',
  7: 'Q5_1',
  9: 'Q8_1',
  10: 'Q2_K',
  11: 'Q3_K',
  12: 'Q4_K',
  13: 'Q5_K',
  15: 'Q8_K',
  16: 'IQ2_XXS',
  17: 'IQ2_XS',
  18: 'IQ3_XXS',
  19: 'IQ1_S',
  20: 'IQ4_NL',
  21: 'IQ3_S',
  22: 'IQ2_S',
  23: 'IQ4_XS',
  29: 'IQ1_M',
  34: 'TQ1_0',
  35: 'TQ2_0',
  39: 'MXFP4',
};

/** Whole blocks as they are stored to bytes of the expanded type. */
export function expand(type: GgmlType, stored: Uint8Array): Uint8Array {
  if (type.blockElements === 1) return stored;
  const blocks = stored.byteLength / type.blockBytes;
  const values = new Float32Array(blocks * type.blockElements);
  const block = type === Q8_0 ? expandQ8 : type === Q4_0 ? expandQ4 : expandQ6;
  for (let i = 0; i < blocks; i++) block(stored, i * type.blockBytes, values, i * type.blockElements);
  return new Uint8Array(values.buffer);
}

// An 11-bit scale times an 8-bit number has 19 bits, so f32 holds the product exactly. Q6_K's third factor may need
// rounding, once, as in ggml's own f32 arithmetic.

function expandQ8(stored: Uint8Array, from: number, values: Float32Array, to: number): void {
  const scale = f16ToF32(stored[from]! | (stored[from + 1]! << 8));
  for (let i = 0; i < BLOCK; i++) values[to + i] = ((stored[from + 2 + i]! << 24) >> 24) * scale;
}

function expandQ4(stored: Uint8Array, from: number, values: Float32Array, to: number): void {
  const scale = f16ToF32(stored[from]! | (stored[from + 1]! << 8));
  for (let i = 0; i < BLOCK / 2; i++) {
    const pair = stored[from + 2 + i]!;
    values[to + i] = ((pair & 15) - 8) * scale;
    values[to + i + BLOCK / 2] = ((pair >> 4) - 8) * scale;
  }
}

/** Two halves of 128 elements, each in four stretches of 32 that share bytes of low halves in pairs and of high bits. */
function expandQ6(stored: Uint8Array, from: number, values: Float32Array, to: number): void {
  const [high, scales] = [from + 128, from + 192];
  const scale = f16ToF32(stored[from + 208]! | (stored[from + 209]! << 8));
  for (let i = 0; i < SUPER_BLOCK; i++) {
    const half = i >> 7;
    const stretch = (i >> 5) & 3;
    const low = (stored[from + 64 * half + 32 * (stretch & 1) + (i & 31)]! >> (stretch < 2 ? 0 : 4)) & 15;
    const bits = (stored[high + 32 * half + (i & 31)]! >> (2 * stretch)) & 3;
    const blockScale = (stored[scales + (i >> 4)]! << 24) >> 24;
    values[to + i] = scale * blockScale * ((low | (bits << 4)) - 32);
  }
}
