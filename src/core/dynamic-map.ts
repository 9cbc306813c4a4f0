/**
 * The 8-bit "dynamic tree" code (Dettmers 2016, arXiv:1511.04561; Dettmers et al. 2022, "8-bit Optimizers via
 * Block-wise Quantization", arXiv:2110.02861, section 2): seven decades down from 1, each with twice the values of the
 * one below it, with zero and one themselves. The values are those of bitsandbytes, bit for bit.
 */

/** Values that share a scale in 8-bit optimiser states. */
export const DYNAMIC_BLOCK = 256;

const DECADES = 7;

/** The 256 code values, ascending, in -1 … 1 (`signed`) or 0 … 1. */
export function dynamicMap(signed: boolean): Float32Array {
  const values = [0, 1];
  for (let decade = 0; decade < DECADES; decade++) {
    const scale = Math.fround(10 ** (decade - (DECADES - 1)));
    for (const mean of intervalMeans(2 ** (signed ? decade : decade + 1))) {
      const value = Math.fround(scale * mean);
      values.push(value);
      if (signed) values.push(-value);
    }
  }
  return Float32Array.from(values).sort();
}

/** Middles of `count` equal intervals of 0.1 … 1: f32, fused and from both ends inwards, as PyTorch's linspace rounds. */
function intervalMeans(count: number): number[] {
  const first = Math.fround(0.1);
  const step = Math.fround(Math.fround(1 - first) / count);
  const boundary = (i: number) =>
    i < (count + 1) / 2 ? Math.fround(first + step * i) : Math.fround(1 - step * (count - i));
  return Array.from({ length: count }, (_, i) => Math.fround(Math.fround(boundary(i) + boundary(i + 1)) / 2));
}
