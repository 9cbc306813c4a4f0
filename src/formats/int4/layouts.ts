/**
 * How a linear in 4 bits lies in a checkpoint: the tensors beside its name, each as AutoGPTQ's `qlinear` and AutoAWQ's
 * `WQLinear_GEMM` write them.
 *
 * |           | qweight                           | qzeros                                  | scales        | g_idx |
 * | GPTQ      | [in / 8, out], eight rows a word  | [groups, out / 8], in order, less one   | [groups, out] | [in]  |
 * | GPTQ v2   | the same                          | in order, as they are                   |               |       |
 * | AWQ       | [in, out / 8], columns in `AWQ_ORDER` | [groups, out / 8], likewise, as they are | [groups, out] |   |
 */
import { fromFloat32, toFloat32, type FloatDType } from '../../core/dtypes';
import type { Int4Matrix } from '../../core/int4';
import { IN_ORDER, packColumns, packRows, PER_WORD, unpackColumns, unpackRows, type NibbleOrder } from './nibbles';

export const INT4_METHODS = ['gptq', 'awq'] as const;
export type Int4Method = (typeof INT4_METHODS)[number];

export type Int4Layout = Int4Method | 'gptq_v2';

/** The columns in a word of AWQ, lowest nibble first: its kernels read two at a time. */
const AWQ_ORDER: NibbleOrder = [0, 2, 4, 6, 1, 3, 5, 7];

/** A tensor of a linear, as a safetensors file has it. */
export interface Int4Tensor {
  /** After the linear's name and a dot. */
  readonly part: Int4Part;
  readonly dtype: 'i32' | 'f16';
  readonly shape: readonly number[];
}

export type Int4Part = 'qweight' | 'qzeros' | 'scales' | 'g_idx';

/** The tensors of a linear [out, in] with so many groups. */
export function int4Tensors(layout: Int4Layout, outFeatures: number, inFeatures: number, groups: number): Int4Tensor[] {
  const isAwq = layout === 'awq';
  const weight = isAwq ? [inFeatures, outFeatures / PER_WORD] : [inFeatures / PER_WORD, outFeatures];
  return [
    { part: 'qweight', dtype: 'i32', shape: weight },
    { part: 'qzeros', dtype: 'i32', shape: [groups, outFeatures / PER_WORD] },
    { part: 'scales', dtype: 'f16', shape: [groups, outFeatures] },
    ...(isAwq ? [] : [{ part: 'g_idx', dtype: 'i32', shape: [inFeatures] } as const]),
  ];
}

/** Their bytes. */
export function packInt4(layout: Int4Layout, matrix: Int4Matrix): Record<Int4Part, Uint8Array> {
  const { codes, zeros, scales, outFeatures, groupOf } = matrix;
  const isAwq = layout === 'awq';
  return {
    qweight: bytesOf(isAwq ? packColumns(codes, AWQ_ORDER) : packRows(codes, outFeatures)),
    qzeros: bytesOf(packColumns(zeros, isAwq ? AWQ_ORDER : IN_ORDER, -storedLess(layout))),
    scales: fromFloat32(scales, 'f16'),
    g_idx: bytesOf(Int32Array.from(groupOf)),
  };
}

/** @param groupOf of AWQ, whose files don't say it, and of GPTQ where `g_idx` is missing */
export function unpackInt4(
  layout: Int4Layout,
  outFeatures: number,
  inFeatures: number,
  parts: Readonly<Record<Exclude<Int4Part, 'g_idx'>, Uint8Array>>,
  groupOf: Uint32Array,
  scaleType: FloatDType = 'f16',
): Int4Matrix {
  const isAwq = layout === 'awq';
  const weight = wordsOf(parts.qweight);
  return {
    outFeatures,
    inFeatures,
    codes: isAwq ? unpackColumns(weight, AWQ_ORDER) : unpackRows(weight, outFeatures),
    zeros: unpackColumns(wordsOf(parts.qzeros), isAwq ? AWQ_ORDER : IN_ORDER, storedLess(layout)),
    scales: toFloat32(parts.scales, scaleType),
    groupOf,
  };
}

/** What a stored zero point is less than the zero point. */
function storedLess(layout: Int4Layout): number {
  return layout === 'gptq' ? 1 : 0;
}

function bytesOf(words: Int32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}

export function wordsOf(bytes: Uint8Array): Int32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  return new Int32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4);
}
