/**
 * What an AWQ file should hold of a model's weights: input channels are scaled, and a norm or a linear before them takes the
 * scales back. They are found by comparing the two, where they are taken back as well as where they are applied.
 */
import { toFloat32 } from '../../core/dtypes';
import type { DecoderSpec } from '../../core/spec';
import type { WeightTensor } from '../../core/weights';
import type { Expected } from './compare-weights';
import { awqSource, linearsOf, type LayerLinear } from './int4-layer';

/** Reads a parameter by its Hub name, in f32. */
export type ReadValues = (name: string) => Promise<Float32Array>;

/** The values that the file should hold for a tensor of the model. */
export function awqExpected(
  spec: DecoderSpec,
  ofModel: ReadValues,
  ofFile: ReadValues,
): (tensor: WeightTensor) => Promise<Expected> {
  const linears = linearsOf(spec);
  const found = new Map<string, Promise<Float32Array | undefined>>();
  /** The scales of what goes into a linear. */
  const scalesOf = (prefix: string, module: string) => {
    const key = prefix + module;
    const scales = found.get(key) ?? find(prefix, module);
    if (!found.has(key)) {
      if (found.size > MOST_KEPT) found.clear();
      found.set(key, scales);
    }
    return scales;
  };
  const find = async (prefix: string, module: string): Promise<Float32Array | undefined> => {
    const source = awqSource(spec, module);
    if (!source) return undefined;
    const name = `${prefix}${'norm' in source ? source.norm : linears.get(module)!.module}.weight`;
    const [own, stored] = await Promise.all([ofModel(name), ofFile(name)]);
    if (!('norm' in source)) return fittedColumns(own, stored, linears.get(module)!);
    const { normOffset = 0 } = spec;
    return own.map((value, i) => {
      const [before, after] = [value + normOffset, stored[i]! + normOffset];
      return before === after ? 1 : before / after;
    });
  };
  return async ({ name, dtype, bytes }) => {
    const values = toFloat32(bytes, dtype).slice();
    const [prefix, module = '', part] = /^(?:(model\.layers\.\d+\.)(.+)\.(\w+))?/.exec(name)!.slice(1);
    if (prefix === undefined) return { values };
    const short = module.slice(module.lastIndexOf('.') + 1);
    const linear = linears.get(short);
    // A norm may be anything that the linears behind it make up for: their own comparison shows whether they do.
    if (!linear) return { values: isScaledNorm(spec, module) ? await ofFile(name) : values };
    const into = part === 'weight' ? await scalesOf(prefix, short) : undefined;
    if (into) values.forEach((value, i) => (values[i] = value * into[i % linear.inFeatures]!));
    let isFitted = false;
    for (const [behind, { inFeatures }] of linears) {
      const source = awqSource(spec, behind);
      if (!source || 'norm' in source || source.linear.module !== module) continue;
      const scales = await scalesOf(prefix, behind);
      const width = part === 'weight' ? linear.inFeatures : 1;
      const skipped = linear.outFeatures - inFeatures;
      if (!scales) continue;
      isFitted = true;
      values.forEach((value, i) => {
        const row = Math.floor(i / width) - skipped;
        if (row >= 0) values[i] = value / scales[row]!;
      });
    }
    return { values, ...(isFitted && { leeway: FITTED_LEEWAY }) };
  };
}

/** Scales that are found by fitting what was rounded are off by some of that. */
const FITTED_LEEWAY = 0.1;

/** Scales that are kept of layers: tensors of one layer mostly come together. */
const MOST_KEPT = 64;

function isScaledNorm(spec: DecoderSpec, module: string): boolean {
  return [...linearsOf(spec).keys()].some((linear) => {
    const source = awqSource(spec, linear);
    return source !== undefined && 'norm' in source && source.norm === module;
  });
}

/** By column, what the model's is multiplied with to be nearest to the file's. */
function fittedColumns(own: Float32Array, stored: Float32Array, { inFeatures }: LayerLinear): Float32Array {
  const products = new Float64Array(inFeatures);
  const squares = new Float64Array(inFeatures);
  own.forEach((value, i) => {
    products[i % inFeatures]! += value * stored[i]!;
    squares[i % inFeatures]! += value ** 2;
  });
  return Float32Array.from(products, (product, i) => (squares[i] === 0 ? 1 : product / squares[i]!));
}
