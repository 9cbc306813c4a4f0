import type { FloatDType } from './dtypes';

/** A named tensor with its little-endian bytes: how weights reach the engine, and how adapters leave it. */
export interface WeightTensor {
  readonly name: string;
  readonly dtype: FloatDType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** A tensor of a training state: a weight, or the 8-bit codes of an optimiser's moments. */
export interface StateTensor extends Omit<WeightTensor, 'dtype'> {
  readonly dtype: FloatDType | 'u8';
}

export type WeightStream = AsyncIterable<WeightTensor>;
