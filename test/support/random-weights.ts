import { elementCount, fromFloat32, type FloatDType } from '../../src/core/dtypes';
import { Random } from '../../src/core/rng';
import { parameters, type DecoderSpec } from '../../src/core/spec';
import type { WeightStream } from '../../src/core/weights';

/** A model with random weights, the same in every run: matrices of size 1/√in, norms around 1. */
export async function* randomWeights(spec: DecoderSpec, dtype: FloatDType = 'f32'): WeightStream {
  for (const [stream, { name, shape }] of parameters(spec).entries()) {
    const random = new Random(17, stream);
    const [scale, shift] = shape.length === 1 ? [0.1, 1] : [1 / Math.sqrt(shape[1]!), 0];
    const values = Float32Array.from({ length: elementCount(shape) }, () => shift + scale * random.normal());
    yield await Promise.resolve({ name, shape, dtype, bytes: fromFloat32(values, dtype) });
  }
}
