import { layerSpec, ropeOf, type DecoderSpec, type RopeKind, type RopeSpec } from '../../core/spec';

/** cos and sin of position · inverse frequency, [positions, R/2] each. */
export interface RotaryTables {
  readonly cos: Float32Array;
  readonly sin: Float32Array;
}

/** The kinds of rotary embedding that layers of the model have. */
export function ropeKinds(spec: DecoderSpec): RopeKind[] {
  const used = new Set(Array.from({ length: spec.numLayers }, (_, layer) => layerSpec(spec, layer).rope));
  return (['global', 'local'] as const).filter((kind) => used.has(kind));
}

/** Pairs of a head's channels that are rotated, R/2. */
export function rotatedPairs(spec: DecoderSpec, kind: RopeKind): number {
  return (requiredRope(spec, kind).rotaryDim ?? spec.headDim) / 2;
}

function requiredRope(spec: DecoderSpec, kind: RopeKind): RopeSpec {
  const rope = ropeOf(spec, kind);
  if (!rope) throw new Error(`the model has no ${kind} rotary embedding`);
  return rope;
}

/** Whether sequences of that length are rotated by LongRoPE's long factors. */
export function isLong({ rope }: DecoderSpec, length: number): boolean {
  return rope.type === 'longrope' && length > rope.originalMaxPositions;
}

/**
 * Inverse frequencies of rotary embedding, in f32 step by step as Transformers computes them (`modeling_rope_utils.py`).
 * `length` is that of the sequence in hand, which LongRoPE goes by. Llama 3 divides low frequencies by `factor` and
 * blends in between.
 */
function inverseFrequencies(rope: RopeSpec, headDim: number, length = 0): Float32Array {
  const dim = rope.rotaryDim ?? headDim;
  const powers = Float32Array.from({ length: dim / 2 }, (_, i) => Math.pow(rope.theta, Math.fround((2 * i) / dim)));
  const inverse = powers.map((power) => 1 / power);
  switch (rope.type) {
    case 'default':
      return inverse;
    case 'linear':
      return inverse.map((frequency) => frequency / rope.factor);
    case 'llama3':
      return inverse.map((frequency) => llama3Frequency(rope, frequency));
    case 'longrope': {
      const factors = length > rope.originalMaxPositions ? rope.longFactor : rope.shortFactor;
      return powers.map((power, i) => 1 / Math.fround(Math.fround(factors[i]!) * power));
    }
  }
}

function llama3Frequency(rope: Extract<RopeSpec, { type: 'llama3' }>, frequency: number): number {
  const wavelength = (2 * Math.PI) / frequency;
  if (wavelength > rope.originalMaxPositions / rope.lowFreqFactor) return frequency / rope.factor;
  if (wavelength < rope.originalMaxPositions / rope.highFreqFactor) return frequency;
  const smooth =
    (rope.originalMaxPositions / wavelength - rope.lowFreqFactor) / (rope.highFreqFactor - rope.lowFreqFactor);
  return ((1 - smooth) * frequency) / rope.factor + smooth * frequency;
}

/**
 * The tables of the layers of a kind, for sequences of which the longest has `length` tokens. Computed here: WGSL's
 * functions are too coarse.
 */
export function rotaryTables(spec: DecoderSpec, kind: RopeKind, positions: number, length = 0): RotaryTables {
  const rope = requiredRope(spec, kind);
  const inverse = inverseFrequencies(rope, spec.headDim, length);
  const scale = rope.type === 'longrope' ? Math.fround(rope.attentionFactor) : 1;
  const cos = new Float32Array(positions * inverse.length);
  const sin = new Float32Array(positions * inverse.length);
  for (let position = 0; position < positions; position++) {
    inverse.forEach((frequency, i) => {
      const angle = Math.fround(position * frequency);
      cos[position * inverse.length + i] = scale * Math.fround(Math.cos(angle));
      sin[position * inverse.length + i] = scale * Math.fround(Math.sin(angle));
    });
  }
  return { cos, sin };
}
