/** How the head of a GGUF file stores values: what its reader and its writer share. */

export const MAGIC = 'GGUF';

/** Where tensors begin is a multiple of this, unless `general.alignment` says otherwise. */
export const ALIGNMENT = 32;

/** `gguf_metadata_value_type` of text and of lists. */
export const STRING = 8;
export const ARRAY = 9;

/** A number or a flag of fixed size. */
export interface Scalar {
  readonly bytes: number;
  read(view: DataView, at: number): number | bigint | boolean;
  write(view: DataView, at: number, value: number): void;
}

/** By `gguf_metadata_value_type`; flags are written as 0 and 1. */
const KINDS = {
  u8: [0, 1, (view, at) => view.getUint8(at), (view, at, value) => view.setUint8(at, value)],
  i8: [1, 1, (view, at) => view.getInt8(at), (view, at, value) => view.setInt8(at, value)],
  u16: [2, 2, (view, at) => view.getUint16(at, true), (view, at, value) => view.setUint16(at, value, true)],
  i16: [3, 2, (view, at) => view.getInt16(at, true), (view, at, value) => view.setInt16(at, value, true)],
  u32: [4, 4, (view, at) => view.getUint32(at, true), (view, at, value) => view.setUint32(at, value, true)],
  i32: [5, 4, (view, at) => view.getInt32(at, true), (view, at, value) => view.setInt32(at, value, true)],
  f32: [6, 4, (view, at) => view.getFloat32(at, true), (view, at, value) => view.setFloat32(at, value, true)],
  bool: [7, 1, (view, at) => view.getUint8(at) !== 0, (view, at, value) => view.setUint8(at, value)],
  u64: [
    10,
    8,
    (view, at) => view.getBigUint64(at, true),
    (view, at, value) => view.setBigUint64(at, BigInt(value), true),
  ],
  i64: [
    11,
    8,
    (view, at) => view.getBigInt64(at, true),
    (view, at, value) => view.setBigInt64(at, BigInt(value), true),
  ],
  f64: [12, 8, (view, at) => view.getFloat64(at, true), (view, at, value) => view.setFloat64(at, value, true)],
} satisfies Record<string, readonly [code: number, bytes: number, read: Scalar['read'], write: Scalar['write']]>;

export type ScalarKind = keyof typeof KINDS;

/** A scalar by what it is called here, with its code. */
export function scalarOf(kind: ScalarKind): Scalar & { readonly code: number } {
  const [code, bytes, read, write] = KINDS[kind];
  return { code, bytes, read, write };
}

/** By the code that stands in the file. */
export const SCALARS: ReadonlyMap<number, Scalar> = new Map(
  Object.values(KINDS).map(([code, bytes, read, write]) => [code, { bytes, read, write }]),
);

/** The next multiple of the alignment. */
export function align(bytes: number, alignment = ALIGNMENT): number {
  return Math.ceil(bytes / alignment) * alignment;
}
