/**
 * Element types of safetensors 0.8.0, in the order of the reference implementation's enum (by alignment, ascending):
 * files are written in the reverse of it. Values are bits an element.
 */
import type { FloatDType } from '../../core/dtypes';
import type { StateTensor } from '../../core/weights';

export const BITS_PER_ELEMENT = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;

export type SafetensorsDType = keyof typeof BITS_PER_ELEMENT;

export const SAFETENSORS_DTYPES = Object.keys(BITS_PER_ELEMENT) as SafetensorsDType[];

const WEIGHT_DTYPES = new Map<SafetensorsDType, FloatDType>([
  ['F32', 'f32'],
  ['F16', 'f16'],
  ['BF16', 'bf16'],
]);

/** The type that Graft computes with, or undefined where it reads bytes only. */
export function weightDType(dtype: SafetensorsDType): FloatDType | undefined {
  return WEIGHT_DTYPES.get(dtype);
}

/** What Graft writes: weights, states, and the words of packed codes. */
export type StoredDType = StateTensor['dtype'] | 'i32';

const STORED_DTYPES: Readonly<Record<StoredDType, SafetensorsDType>> = {
  f32: 'F32',
  f16: 'F16',
  bf16: 'BF16',
  u8: 'U8',
  i32: 'I32',
};

export function storedDType(dtype: StoredDType): SafetensorsDType {
  return STORED_DTYPES[dtype];
}
