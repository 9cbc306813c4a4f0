import type { RopeSpec } from '../../core/spec';

/**
 * Inverse frequencies of rotary embedding, in f32 step by step as Transformers computes them. Llama 3 divides low
 * frequencies by `factor` and blends in between (Transformers, `_compute_llama3_parameters`).
 */
export function inverseFrequencies(rope: RopeSpec, headDim: number): Float32Array {
  const inverse = Float32Array.from({ length: headDim / 2 }, (_, i) => {
    return 1 / Math.fround(Math.pow(rope.theta, Math.fround((2 * i) / headDim)));
  });
  return rope.type === 'default' ? inverse : inverse.map((frequency) => llama3Frequency(rope, frequency));
}

function llama3Frequency(rope: Extract<RopeSpec, { type: 'llama3' }>, frequency: number): number {
  const wavelength = (2 * Math.PI) / frequency;
  if (wavelength > rope.originalMaxPositions / rope.lowFreqFactor) return frequency / rope.factor;
  if (wavelength < rope.originalMaxPositions / rope.highFreqFactor) return frequency;
  const smooth =
    (rope.originalMaxPositions / wavelength - rope.lowFreqFactor) / (rope.highFreqFactor - rope.lowFreqFactor);
  return ((1 - smooth) * frequency) / rope.factor + smooth * frequency;
}

/** cos and sin of position · inverse frequency, [positions, D/2] each. Computed here: WGSL's are too coarse. */
export function rotaryTables(
  rope: RopeSpec,
  headDim: number,
  positions: number,
): { cos: Float32Array; sin: Float32Array } {
  const inverse = inverseFrequencies(rope, headDim);
  const cos = new Float32Array(positions * inverse.length);
  const sin = new Float32Array(positions * inverse.length);
  for (let position = 0; position < positions; position++) {
    inverse.forEach((frequency, i) => {
      const angle = Math.fround(position * frequency);
      cos[position * inverse.length + i] = Math.cos(angle);
      sin[position * inverse.length + i] = Math.sin(angle);
    });
  }
  return { cos, sin };
}
