/** A layer by GPTQ: linear after linear in forward order, each by what it is given once those before it are quantised. */
import { throwIfCancelled } from '../../core/errors';
import type { Int4Matrix } from '../../core/int4';
import type { DecoderSpec } from '../../core/spec';
import { sharedInputs, type Engine, type HiddenRows, type LayerView } from '../../engine';
import type { Int4Settings } from '../../formats/int4/config';
import { asRead, linearsOf, matrixOf, type LayerWeights } from './int4-layer';

export interface QuantizedLayer {
  /** By the linear's name within the layer. */
  readonly packed: ReadonlyMap<string, Int4Matrix>;
  /** Hidden states after the layer, which the next one is given. */
  readonly hidden: readonly HiddenRows[];
}

/** What quantising a layer takes; its weights are on the device, and are replaced there. */
export interface LayerInput {
  readonly engine: Engine;
  readonly view: LayerView;
  readonly spec: DecoderSpec;
  readonly weights: LayerWeights;
  readonly hidden: readonly HiddenRows[];
  readonly settings: Int4Settings;
  readonly signal?: AbortSignal | undefined;
}

export async function gptqLayer({
  engine,
  view,
  spec,
  weights,
  hidden,
  settings,
  signal,
}: LayerInput): Promise<QuantizedLayer> {
  const linears = linearsOf(spec);
  const packed = new Map<string, Int4Matrix>();
  let rows = hidden;
  let half = view.halfOf(sharedInputs(spec)[0]![0]!);
  for (const modules of sharedInputs(spec)) {
    if (view.halfOf(modules[0]!) !== half) {
      rows = await runHalf(view, half, rows);
      half = view.halfOf(modules[0]!);
    }
    const own = modules.map((module) => linears.get(module)!).filter(({ module }) => !settings.left.includes(module));
    if (own.length === 0) continue;
    const gram = await view.sumInputs(modules[0]!, rows);
    for (const linear of own) {
      throwIfCancelled(signal);
      const { symmetric, actOrder, dampPercent } = settings;
      const groupSize = settings.groupSize === -1 ? linear.inFeatures : settings.groupSize;
      const options = { gram, groupSize, symmetric, actOrder, dampPercent };
      const matrix = await engine.quantizeGptq(matrixOf(weights, linear), options);
      packed.set(linear.module, matrix);
      view.write(`${linear.module}.weight`, asRead(matrix));
    }
  }
  return { packed, hidden: await runHalf(view, half, rows) };
}

/** Every sequence through one half of the layer. */
export async function runHalf(
  view: LayerView,
  half: Parameters<LayerView['run']>[0],
  rows: readonly HiddenRows[],
): Promise<HiddenRows[]> {
  const after: HiddenRows[] = [];
  for (const row of rows) after.push({ hidden: await view.run(half, row), documents: row.documents });
  return after;
}
