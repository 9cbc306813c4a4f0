/** The weights of one layer on their way to 4 bits: as they are, on the device, and as they are written. */
import { fromFloat32, toFloat32 } from '../../core/dtypes';
import { dequantizeInt4, type Int4Matrix } from '../../core/int4';
import { layerLinears, type DecoderSpec, type LinearSpec } from '../../core/spec';
import type { Matrix } from '../../engine';
import { withinLayer } from '../../formats/int4/plan';

/** A layer's parameters in f32, by their names within it. */
export type LayerWeights = Map<string, Float32Array>;

/** A linear of a layer, by its name within it. */
export interface LayerLinear extends LinearSpec {
  readonly module: string;
}

/** The linears of a layer, by the last parts of their names, as the engine calls them. */
export function linearsOf(spec: DecoderSpec): Map<string, LayerLinear> {
  return new Map(
    layerLinears(spec, 0).map((linear) => {
      const module = withinLayer(linear);
      return [module.slice(module.lastIndexOf('.') + 1), { ...linear, module }];
    }),
  );
}

export function matrixOf(weights: LayerWeights, { module, outFeatures, inFeatures }: LayerLinear): Matrix {
  return { values: weights.get(`${module}.weight`)!, outFeatures, inFeatures };
}

/** What a reader makes of it, whose scales are in f16. */
export function asRead(matrix: Int4Matrix): Float32Array {
  return dequantizeInt4(matrix, toFloat32(fromFloat32(matrix.scales, 'f16'), 'f16'));
}

/** What the inputs of a linear come from: a norm, or the last rows of a linear (of a fused one those of values, or of up). */
export type InputSource = { readonly norm: string } | { readonly linear: LayerLinear };

/** What takes AWQ's scales of a linear's inputs back; undefined where several heads share what that would have to be. */
export function awqSource(spec: DecoderSpec, module: string): InputSource | undefined {
  const linears = linearsOf(spec);
  const linear = (...names: string[]) => linears.get(names.find((name) => linears.has(name))!)!;
  switch (module) {
    case 'o_proj':
      return spec.numHeads === spec.numKeyValueHeads ? { linear: linear('v_proj', 'qkv_proj') } : undefined;
    case 'down_proj':
      return { linear: linear('up_proj', 'gate_up_proj') };
    case 'gate_proj':
    case 'up_proj':
    case 'gate_up_proj':
      return { norm: spec.sandwichNorms ? 'pre_feedforward_layernorm' : 'post_attention_layernorm' };
    default:
      return { norm: 'input_layernorm' };
  }
}
