import type { FloatDType } from './dtypes';

/** A named tensor with its little-endian bytes: how weights reach the engine, and how adapters leave it. */
export interface WeightTensor {
  readonly name: string;
  readonly dtype: FloatDType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

export type WeightStream = AsyncIterable<WeightTensor>;
