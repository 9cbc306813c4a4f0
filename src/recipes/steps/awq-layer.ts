/**
 * A layer by AWQ: scales for the channels that go into its linears, taken back in the norm or the linear before them, then
 * a clip for each group. As in AutoAWQ, all is measured on the layer as it is, and the next layer is given what that makes.
 */
import { throwIfCancelled } from '../../core/errors';
import { awqGrid, roundToNearest, type Int4Matrix } from '../../core/int4';
import type { DecoderSpec } from '../../core/spec';
import { clipGroups, scaledColumns, searchScales, sharedInputs, type HiddenRows, type Matrix } from '../../engine';
import { runHalf, type LayerInput, type QuantizedLayer } from './gptq-layer';
import { awqSource, linearsOf, matrixOf, type InputSource, type LayerLinear, type LayerWeights } from './int4-layer';

/** What linears with the same inputs are scaled by, and what those inputs come from. */
interface ScaledInputs {
  readonly linears: readonly LayerLinear[];
  readonly gram: Float32Array;
  /** Undefined where nothing before them can take scales back. */
  readonly scaled: { readonly scales: Float32Array; readonly source: InputSource } | undefined;
}

/** Attention scores are products of two of them: AutoAWQ leaves their ranges alone. */
const UNCLIPPED: ReadonlySet<string> = new Set(['q_proj', 'k_proj']);

/** Changes `weights`: what is scaled or clipped is what is written. */
export async function awqLayer(input: LayerInput): Promise<QuantizedLayer> {
  const { view, spec, weights, hidden, settings } = input;
  const middle = await runHalf(view, 'attention', hidden);
  const after = await runHalf(view, 'mlp', middle);
  const rows = { attention: { before: hidden, after: middle }, mlp: { before: middle, after } };
  const found: ScaledInputs[] = [];
  for (const modules of sharedInputs(spec)) {
    const linears = modules.map((module) => linearsOf(spec).get(module)!);
    if (linears.some(({ module }) => settings.left.includes(module))) continue;
    const half = view.halfOf(modules[0]!);
    found.push(await findScales(input, linears, modules[0]!, rows[half], half));
  }
  for (const inputs of found) applyScales(weights, spec, inputs);
  const packed = new Map<string, Int4Matrix>();
  for (const { linears, gram, scaled } of found) {
    const scales = scaled?.scales;
    const size = linears[0]!.inFeatures;
    const scaledGram = scales
      ? gram.map((value, i) => value / (scales[i % size]! * scales[Math.floor(i / size)]!))
      : gram;
    for (const linear of linears) {
      const matrix = matrixOf(weights, linear);
      const isClipped = !UNCLIPPED.has(linear.module.slice(linear.module.lastIndexOf('.') + 1));
      const values = isClipped ? clipGroups(matrix, scaledGram, settings.groupSize) : matrix.values;
      packed.set(linear.module, roundToNearest(values, linear.inFeatures, settings.groupSize, awqGrid));
    }
  }
  return { packed, hidden: after };
}

/** Linears behind a norm are measured by what their half makes of them; one behind a linear, by its own outputs. */
async function findScales(
  { engine, view, spec, weights, settings, signal }: LayerInput,
  linears: readonly LayerLinear[],
  module: string,
  rows: { readonly before: readonly HiddenRows[]; readonly after: readonly HiddenRows[] },
  half: 'attention' | 'mlp',
): Promise<ScaledInputs> {
  const gram = await view.sumInputs(module, rows.before);
  const source = awqSource(spec, module);
  if (!source) return { linears, gram, scaled: undefined };
  const matrices = linears.map((linear) => matrixOf(weights, linear));
  const tokens = rows.before.reduce((sum, { hidden }) => sum + hidden.length / spec.hiddenSize, 0);
  const [first] = matrices as [Matrix];
  const write = (values: readonly Float32Array[]) =>
    linears.forEach((linear, i) => view.write(`${linear.module}.weight`, values[i]!));
  const ofHalf = async (candidates: readonly Float32Array[]) => {
    write(candidates);
    let [sum, count] = [0, 0];
    for (const [i, row] of rows.before.entries()) {
      const made = await view.run(half, row);
      const own = rows.after[i]!.hidden;
      for (let j = 0; j < made.length; j++) sum += (made[j]! - own[j]!) ** 2;
      count += made.length;
    }
    return sum / count;
  };
  const ofOutputs = async ([candidate]: readonly Float32Array[]) => {
    const differences = first.values.map((value, i) => candidate![i]! - value);
    return (await engine.outputError({ ...first, values: differences }, gram)) / (tokens * first.outFeatures);
  };
  const measure = 'norm' in source ? ofHalf : ofOutputs;
  const loss = (candidates: readonly Float32Array[]) => {
    throwIfCancelled(signal);
    return measure(candidates);
  };
  const means = await view.meanInputs(module, rows.before);
  const { scales } = await searchScales(matrices, means, settings.groupSize, loss);
  write(matrices.map(({ values }) => values));
  return { linears, gram, scaled: { scales, source } };
}

function applyScales(weights: LayerWeights, spec: DecoderSpec, { linears, scaled }: ScaledInputs): void {
  if (!scaled) return;
  const { scales, source } = scaled;
  if ('norm' in source) {
    const name = `${source.norm}.weight`;
    const { normOffset = 0 } = spec;
    weights.set(
      name,
      weights.get(name)!.map((value, i) => (value + normOffset) / scales[i]! - normOffset),
    );
  } else {
    const { module, outFeatures, inFeatures, bias } = source.linear;
    const skipped = outFeatures - scales.length;
    const divided = (values: Float32Array, width: number) =>
      values.map((value, i) => {
        const row = Math.floor(i / width) - skipped;
        return row < 0 ? value : value / scales[row]!;
      });
    weights.set(`${module}.weight`, divided(weights.get(`${module}.weight`)!, inFeatures));
    if (bias) weights.set(`${module}.bias`, divided(weights.get(`${module}.bias`)!, 1));
  }
  for (const linear of linears) {
    weights.set(`${linear.module}.weight`, scaledColumns(matrixOf(weights, linear), scales));
  }
}

/** Whether scales of attention's last linear have nothing to be taken back in. */
export function lacksOutputScales(spec: DecoderSpec): boolean {
  return awqSource(spec, 'o_proj') === undefined;
}
