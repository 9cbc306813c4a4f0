/** The element types of GGUF tensors that Graft reads, and their expansion, as ggml's reference code defines it. */
import { BLOCK, expandQ4_0, expandQ4_1, expandQ5_0, expandQ5_1, expandQ8_0, type ExpandBlock } from './blocks';
import { expandQ2_K, expandQ3_K, expandQ4_K, expandQ5_K, expandQ6_K, SUPER_BLOCK } from './super-blocks';

export interface GgmlType {
  readonly name: string;
  /** Elements of a block, which never crosses a row, and its bytes. */
  readonly blockElements: number;
  readonly blockBytes: number;
  /** What the elements are once expanded: 16-bit types stay, and quantised ones become f32, which holds them exactly. */
  readonly expanded: 'F32' | 'F16' | 'BF16';
  /** Of a quantised type. */
  readonly expandBlock?: ExpandBlock;
}

const plain = (name: GgmlType['expanded'], bytes: number): GgmlType => ({
  name,
  blockElements: 1,
  blockBytes: bytes,
  expanded: name,
});

const quantised = (name: string, blockElements: number, blockBytes: number, expandBlock: ExpandBlock): GgmlType => ({
  name,
  blockElements,
  blockBytes,
  expanded: 'F32',
  expandBlock,
});

/** By the number that stands in the file (`ggml_type`). */
export const GGML_TYPES: ReadonlyMap<number, GgmlType> = new Map([
  [0, plain('F32', 4)],
  [1, plain('F16', 2)],
  [2, quantised('Q4_0', BLOCK, 18, expandQ4_0)],
  [3, quantised('Q4_1', BLOCK, 20, expandQ4_1)],
  [6, quantised('Q5_0', BLOCK, 22, expandQ5_0)],
  [7, quantised('Q5_1', BLOCK, 24, expandQ5_1)],
  [8, quantised('Q8_0', BLOCK, 34, expandQ8_0)],
  [10, quantised('Q2_K', SUPER_BLOCK, 84, expandQ2_K)],
  [11, quantised('Q3_K', SUPER_BLOCK, 110, expandQ3_K)],
  [12, quantised('Q4_K', SUPER_BLOCK, 144, expandQ4_K)],
  [13, quantised('Q5_K', SUPER_BLOCK, 176, expandQ5_K)],
  [14, quantised('Q6_K', SUPER_BLOCK, 210, expandQ6_K)],
  [30, plain('BF16', 2)],
]);

/** Names of the types that are refused, for the message. */
export const OTHER_TYPES: Readonly<Record<number, string>> = {
  9: 'Q8_1',
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
  const { blockElements, blockBytes, expandBlock } = type;
  if (!expandBlock) return stored;
  const blocks = stored.byteLength / blockBytes;
  const values = new Float32Array(blocks * blockElements);
  for (let i = 0; i < blocks; i++) expandBlock(stored, i * blockBytes, values, i * blockElements);
  return new Uint8Array(values.buffer);
}
