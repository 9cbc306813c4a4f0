import { elementCount, f16ToF32, f32ToF16, type QuantizedDType } from '../../src/core/dtypes';
import { BLOCK_SIZE, nestScales, NF4_CODE, quantizedLayout } from '../../src/core/quantization';
import type { Values } from './values';

/** The words of a tensor quantised block by block: to the nearest NF4 code, or as GGUF's Q8_0 rounds. */
export function quantize(values: Values, dtype: QuantizedDType, shape: readonly number[]): Uint32Array {
  const layout = quantizedLayout(dtype, shape);
  const words = new Uint32Array(layout.words);
  const bytes = new Uint8Array(words.buffer);
  const size = BLOCK_SIZE[dtype];
  const scales = new Float32Array(layout.blocks);
  for (let block = 0; block < layout.blocks; block++) {
    const first = block * size;
    const last = Math.min(first + size, elementCount(shape));
    let largest = 0;
    for (let i = first; i < last; i++) largest = Math.max(largest, Math.abs(values[i]!));
    scales[block] = dtype === 'q8' ? f16ToF32(f32ToF16(largest / 127)) : largest;
    const inverse = largest === 0 ? 0 : Math.fround(1 / Math.fround(largest / 127));
    for (let i = first; i < last; i++) {
      if (dtype === 'q8') {
        const scaled = Math.fround(values[i]! * inverse);
        bytes[i] = Math.sign(scaled) * Math.floor(Math.abs(scaled) + 0.5);
      } else if (largest > 0) {
        bytes[i >> 1]! |= nearest(Math.fround(values[i]! / largest)) << (i % 2 === 0 ? 4 : 0);
      }
    }
  }
  if (dtype === 'nf4') words.set(new Uint32Array(scales.buffer), layout.scales);
  if (dtype === 'nf4_nested') words.set(nestScales(scales), layout.scales);
  if (dtype === 'q8') {
    const halves = new Uint16Array(words.buffer, 4 * layout.scales);
    scales.forEach((scale, block) => (halves[block] = f32ToF16(scale)));
  }
  return words;
}

function nearest(value: number): number {
  let best = 0;
  NF4_CODE.forEach((code, i) => {
    if (Math.abs(value - code) < Math.abs(value - NF4_CODE[best]!)) best = i;
  });
  return best;
}
