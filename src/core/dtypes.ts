/** Element types of tensors in files and on the GPU, and exact conversions between them. */

/** Types of weights in files. 16-bit ones sit in pairs in a u32 (low half first) where `shader-f16` is absent. */
export type FloatDType = 'f32' | 'f16' | 'bf16';

/** Types that weights are quantised to on the GPU; `quantization.ts` says how they are laid out. */
export type QuantizedDType = 'nf4' | 'nf4_nested' | 'q8';

/** Types a weight may be kept in on the GPU. */
export type WeightDType = FloatDType | QuantizedDType;

/** Types with a fixed number of bytes an element. */
export type PlainDType = FloatDType | 'u32' | 'i32';

/** Every type of a tensor in the graph. */
export type DType = PlainDType | QuantizedDType;

export const BYTES_PER_ELEMENT: Readonly<Record<PlainDType, number>> = { f32: 4, f16: 2, bf16: 2, u32: 4, i32: 4 };

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

const f32View = new Float32Array(1);
const u32View = new Uint32Array(f32View.buffer);

/** bfloat16 bits to f32, exact. */
export function bf16ToF32(bits: number): number {
  u32View[0] = bits << 16;
  return f32View[0]!;
}

/** f32 to bfloat16 bits, round to nearest even (NaN stays NaN). */
export function f32ToBf16(value: number): number {
  f32View[0] = value;
  const bits = u32View[0]!;
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

/** IEEE 754 half bits to f32, exact, subnormals included. */
export function f16ToF32(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** f32 to IEEE 754 half bits, round to nearest even; overflow becomes infinity. */
export function f32ToF16(value: number): number {
  f32View[0] = value;
  const bits = u32View[0]!;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x47800000) return sign | 0x7c00; // 65536 and above
  if (magnitude < 0x38800000) {
    // Below the smallest normal: a multiple of 2^-24. Adding 0.5 aligns the f32 fraction to that grid and rounds it.
    f32View[0] = Math.abs(value) + 0.5;
    return sign | (u32View[0]! - 0x3f000000);
  }
  const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
  return sign | ((rounded - 0x38000000) >>> 13);
}

/** Expands or reads `count` elements of `dtype` from little-endian `bytes` as f32. */
export function toFloat32(bytes: Uint8Array, dtype: FloatDType): Float32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  if (dtype === 'f32') return new Float32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4);
  const half = new Uint16Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 2);
  const values = new Float32Array(half.length);
  if (dtype === 'bf16') {
    const bits = new Uint32Array(values.buffer);
    for (let i = 0; i < half.length; i++) bits[i] = half[i]! << 16;
  } else {
    for (let i = 0; i < half.length; i++) values[i] = f16ToF32(half[i]!);
  }
  return values;
}

/** Rounds f32 values to `dtype` and returns their little-endian bytes. */
export function fromFloat32(values: Float32Array, dtype: FloatDType): Uint8Array {
  if (dtype === 'f32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const half = new Uint16Array(values.length);
  const convert = dtype === 'bf16' ? f32ToBf16 : f32ToF16;
  for (let i = 0; i < half.length; i++) half[i] = convert(values[i]!);
  return new Uint8Array(half.buffer);
}
