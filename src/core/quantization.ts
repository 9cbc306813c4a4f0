/**
 * How quantised weights are laid out: one buffer of u32 words a tensor, first the codes, then what scales them.
 *
 * `nf4` is bitsandbytes' 4-bit NormalFloat (Dettmers et al. 2023, "QLoRA", arXiv:2305.14314, appendix E): blocks of 64
 * elements of the flattened tensor, eight codes a word (the first element of a byte in its high nibble), then one f32
 * absolute maximum a block. `nf4_nested` is the same with double quantisation: the maxima less their mean are 8-bit
 * codes of `dynamicMap` in blocks of 256, followed by the f32 maximum of each such block, the mean, and the map.
 * `q8` is GGUF's Q8_0: blocks of 32 elements, four int8 a word, then the f16 scales, two a word.
 */
import {
  BYTES_PER_ELEMENT,
  elementCount,
  f16ToF32,
  type FloatDType,
  type QuantizedDType,
  type WeightDType,
} from './dtypes';
import { dynamicMap } from './dynamic-map';

/** Elements that share a scale. */
export const BLOCK_SIZE: Readonly<Record<QuantizedDType, number>> = { nf4: 64, nf4_nested: 64, q8: 32 };

/** Codes in a word. */
const CODES_PER_WORD: Readonly<Record<QuantizedDType, number>> = { nf4: 8, nf4_nested: 8, q8: 4 };

/** Blocks whose scales share a second scale. */
const NESTED_BLOCK_SIZE = 256;

/** The 16 values of NF4: quantiles of a normal distribution, scaled to ±1 (arXiv:2305.14314, appendix E). */
export const NF4_CODE: readonly number[] = [
  -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
  -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
];

/** Where the parts of a quantised tensor start, in words. */
export interface QuantizedLayout {
  readonly blocks: number;
  readonly scales: number;
  /** Of `nf4_nested`; elsewhere both are the end. */
  readonly nestedScales: number;
  readonly nestedMean: number;
  readonly words: number;
}

export function quantizedLayout(dtype: QuantizedDType, shape: readonly number[]): QuantizedLayout {
  const blocks = Math.ceil(elementCount(shape) / BLOCK_SIZE[dtype]);
  const scales = blocks * (BLOCK_SIZE[dtype] / CODES_PER_WORD[dtype]);
  if (dtype !== 'nf4_nested') {
    const words = scales + (dtype === 'nf4' ? blocks : Math.ceil(blocks / 2));
    return { blocks, scales, nestedScales: words, nestedMean: words, words };
  }
  const nestedScales = scales + Math.ceil(blocks / 4);
  const nestedMean = nestedScales + Math.ceil(blocks / NESTED_BLOCK_SIZE);
  return { blocks, scales, nestedScales, nestedMean, words: nestedMean + 1 + 256 };
}

/** Bytes of a tensor as it is stored: what is kept of it between sessions. */
export function storedBytes(dtype: WeightDType, shape: readonly number[]): number {
  return dtype in BLOCK_SIZE
    ? 4 * quantizedLayout(dtype as QuantizedDType, shape).words
    : BYTES_PER_ELEMENT[dtype as FloatDType] * elementCount(shape);
}

/** Whether a matrix can be quantised: kernels read four weights of a row at once, and blocks may not be cut short. */
export function canQuantize(shape: readonly number[]): boolean {
  return shape.length === 2 && shape.every((extent) => extent % 4 === 0) && elementCount(shape) % 64 === 0;
}

/** Double quantisation of a tensor's block maxima: the words that follow its codes in `nf4_nested`. */
export function nestScales(maxima: Float32Array): Uint32Array {
  const map = dynamicMap(true);
  const mean = Math.fround(Math.fround(maxima.reduce((sum, value) => sum + value, 0)) / maxima.length);
  const centred = maxima.map((value) => value - mean);
  const nestedBlocks = Math.ceil(maxima.length / NESTED_BLOCK_SIZE);
  const codeWords = Math.ceil(maxima.length / 4);
  const words = new Uint32Array(codeWords + nestedBlocks + 1 + map.length);
  const codes = new Uint8Array(words.buffer);
  const floats = new Float32Array(words.buffer);
  for (let block = 0; block < nestedBlocks; block++) {
    const start = block * NESTED_BLOCK_SIZE;
    const values = centred.subarray(start, start + NESTED_BLOCK_SIZE);
    const scale = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    floats[codeWords + block] = scale;
    values.forEach((value, i) => (codes[start + i] = nearestCode(map, scale > 0 ? Math.fround(value / scale) : 0)));
  }
  floats[codeWords + nestedBlocks] = mean;
  floats.set(map, codeWords + nestedBlocks + 1);
  return words;
}

/** Index of the entry of an ascending map that is nearest to the value. */
function nearestCode(map: Float32Array, value: number): number {
  let low = 0;
  let high = map.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (map[middle]! <= value) low = middle;
    else high = middle;
  }
  return value - map[low]! <= map[high]! - value ? low : high;
}

/** The f32 values of a quantised tensor, as the kernels expand them. */
export function dequantized(words: Uint32Array, dtype: QuantizedDType, shape: readonly number[]): Float32Array {
  const layout = quantizedLayout(dtype, shape);
  const bytes = new Uint8Array(words.buffer, words.byteOffset);
  const scale = blockScales(words, dtype, layout);
  const code = Float32Array.from(NF4_CODE);
  return Float32Array.from({ length: elementCount(shape) }, (_, i) => {
    if (dtype === 'q8') return ((bytes[i]! << 24) >> 24) * scale[i >> 5]!;
    return code[i % 2 === 0 ? bytes[i >> 1]! >> 4 : bytes[i >> 1]! & 15]! * scale[i >> 6]!;
  });
}

/** The scale of each block, f32. */
function blockScales(words: Uint32Array, dtype: QuantizedDType, layout: QuantizedLayout): Float32Array {
  const floats = new Float32Array(words.buffer, words.byteOffset, words.length);
  if (dtype === 'nf4') return floats.subarray(layout.scales, layout.scales + layout.blocks);
  if (dtype === 'q8') {
    const halves = new Uint16Array(words.buffer, words.byteOffset + 4 * layout.scales, layout.blocks);
    return Float32Array.from(halves, f16ToF32);
  }
  const codes = new Uint8Array(words.buffer, words.byteOffset + 4 * layout.scales, layout.blocks);
  const map = floats.subarray(layout.nestedMean + 1);
  return Float32Array.from(codes, (code, block) => {
    const nested = floats[layout.nestedScales + Math.floor(block / NESTED_BLOCK_SIZE)]!;
    return Math.fround(map[code]! * nested) + floats[layout.nestedMean]!;
  });
}
