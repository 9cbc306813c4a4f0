/** Random numbers in bulk: a short block of them, repeated. Blocks are of odd length, so that rows differ. */
import { elementCount, fromFloat32, toFloat32, type WeightDType } from '../../src/core/dtypes';
import { dequantized, nestScales, quantizedLayout } from '../../src/core/quantization';
import { Random } from '../../src/core/rng';
import { isQuantized } from '../../src/engine/graph/tensor';
import { quantize } from '../reference/quantization';
import type { LeafInput } from '../support/graph-runner';

/** Elements of a block: 64 times a prime, since 64 is the most that share a scale. */
const PERIOD = 64 * 1021;

let stream = 0;

function block(scale: number): Float32Array {
  const random = new Random(29, stream++);
  return Float32Array.from({ length: PERIOD }, () => scale * random.normal());
}

function repeated<T extends Float32Array | Uint32Array>(values: T, target: T): T {
  for (let start = 0; start < target.length; start += values.length) {
    target.set(values.subarray(0, Math.min(values.length, target.length - start)), start);
  }
  return target;
}

/** Normal values of that size, in f32. */
export function normal(shape: readonly number[], scale = 1): LeafInput {
  return { shape, dtype: 'f32', values: repeated(block(scale), new Float32Array(elementCount(shape))) };
}

/** A weight as it is stored, and what its elements stand for. */
export function weight(shape: readonly number[], dtype: WeightDType, scale = 1 / Math.sqrt(shape[1]!)): LeafInput {
  const count = elementCount(shape);
  const whole = (values: Float32Array) => repeated(values, new Float32Array(count));
  const values = block(scale);
  if (!isQuantized(dtype)) return { shape, dtype, values: whole(toFloat32(fromFloat32(values, dtype), dtype)) };

  // Blocks with a scale of their own are alike wherever they stand.
  const layout = quantizedLayout(dtype, shape);
  const words = new Uint32Array(layout.words);
  const plain = dtype === 'nf4_nested' ? 'nf4' : dtype;
  const sample = quantize(values, plain, [1, PERIOD]);
  const sampleLayout = quantizedLayout(plain, [1, PERIOD]);
  repeated(sample.subarray(0, sampleLayout.scales), words.subarray(0, layout.scales));
  const scales = sample.subarray(sampleLayout.scales);
  if (dtype !== 'nf4_nested') {
    repeated(scales, words.subarray(layout.scales));
    return { shape, dtype, words, values: whole(dequantized(sample, dtype, [1, PERIOD])) };
  }
  const maxima = repeated(new Float32Array(scales.buffer, scales.byteOffset), new Float32Array(layout.blocks));
  words.set(nestScales(maxima), layout.scales);
  return { shape, dtype, words, values: dequantized(words, dtype, shape) };
}
