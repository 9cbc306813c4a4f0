/** The element types of GGUF tensors that Graft reads and writes, as ggml's reference code defines them. */
import { fromFloat32 } from '../../core/dtypes';
import { BLOCK, expandQ4_0, expandQ4_1, expandQ5_0, expandQ5_1, expandQ8_0, type ExpandBlock } from './blocks';
import { quantizeQ4_0, quantizeQ5_0, quantizeQ5_1, quantizeQ8_0, type QuantizeBlock } from './quantize-blocks';
import { quantizeQ4_K, quantizeQ5_K, quantizeQ6_K } from './quantize-super-blocks';
import { expandQ2_K, expandQ3_K, expandQ4_K, expandQ5_K, expandQ6_K, SUPER_BLOCK } from './super-blocks';

export interface GgmlType {
  readonly name: string;
  /** The number that stands in the file (`ggml_type`). */
  readonly code: number;
  /** Elements of a block, which never crosses a row, and its bytes. */
  readonly blockElements: number;
  readonly blockBytes: number;
  /** What the elements are once expanded: 16-bit types stay, and quantised ones become f32, which holds them exactly. */
  readonly expanded: 'F32' | 'F16' | 'BF16';
  /** Of a quantised type. */
  readonly expandBlock?: ExpandBlock;
  /** Of a quantised type that Graft writes. */
  readonly quantizeBlock?: QuantizeBlock;
}

/** What elements are once they are expanded, in the words of the rest. */
export const EXPANDED_DTYPES = { F32: 'f32', F16: 'f16', BF16: 'bf16' } as const;

const plain = (code: number, name: GgmlType['expanded'], bytes: number): GgmlType => ({
  name,
  code,
  blockElements: 1,
  blockBytes: bytes,
  expanded: name,
});

const quantised = (
  code: number,
  name: string,
  [blockElements, blockBytes]: readonly [elements: number, bytes: number],
  expandBlock: ExpandBlock,
  quantizeBlock?: QuantizeBlock,
): GgmlType => ({
  name,
  code,
  blockElements,
  blockBytes,
  expanded: 'F32',
  expandBlock,
  ...(quantizeBlock && { quantizeBlock }),
});

const TYPES: readonly GgmlType[] = [
  plain(0, 'F32', 4),
  plain(1, 'F16', 2),
  quantised(2, 'Q4_0', [BLOCK, 18], expandQ4_0, quantizeQ4_0),
  quantised(3, 'Q4_1', [BLOCK, 20], expandQ4_1),
  quantised(6, 'Q5_0', [BLOCK, 22], expandQ5_0, quantizeQ5_0),
  quantised(7, 'Q5_1', [BLOCK, 24], expandQ5_1, quantizeQ5_1),
  quantised(8, 'Q8_0', [BLOCK, 34], expandQ8_0, quantizeQ8_0),
  quantised(10, 'Q2_K', [SUPER_BLOCK, 84], expandQ2_K),
  quantised(11, 'Q3_K', [SUPER_BLOCK, 110], expandQ3_K),
  quantised(12, 'Q4_K', [SUPER_BLOCK, 144], expandQ4_K, quantizeQ4_K),
  quantised(13, 'Q5_K', [SUPER_BLOCK, 176], expandQ5_K, quantizeQ5_K),
  quantised(14, 'Q6_K', [SUPER_BLOCK, 210], expandQ6_K, quantizeQ6_K),
  plain(30, 'BF16', 2),
];

/** By the number that stands in the file. */
export const GGML_TYPES: ReadonlyMap<number, GgmlType> = new Map(TYPES.map((type) => [type.code, type]));

/** The type of this name; one that Graft knows. */
export function ggmlType(name: string): GgmlType {
  const type = TYPES.find((known) => known.name === name);
  if (!type) throw new Error(`there is no type ${name}`);
  return type;
}

/** Bytes of a tensor of this shape. */
export function storedBytes({ blockElements, blockBytes }: GgmlType, shape: readonly number[]): number {
  return (shape.reduce((product, n) => product * n, 1) / blockElements) * blockBytes;
}

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

/** Values that are finite, and whole blocks of them, to bytes of the type. */
export function store(type: GgmlType, values: Float32Array): Uint8Array {
  const { name, blockElements, blockBytes, expanded, expandBlock, quantizeBlock } = type;
  if (!expandBlock) return fromFloat32(values, EXPANDED_DTYPES[expanded]);
  if (!quantizeBlock) throw new Error(`Graft writes no ${name}`);
  const blocks = values.length / blockElements;
  const stored = new Uint8Array(blocks * blockBytes);
  for (let i = 0; i < blocks; i++) quantizeBlock(values, i * blockElements, stored, i * blockBytes);
  return stored;
}
