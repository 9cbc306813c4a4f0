/** A model, with an adapter merged into it where one is given, in 4 bits by GPTQ or AWQ: a folder for vLLM and Transformers. */
import { elementCount, f32ToF16, fromFloat32, toFloat32 } from '../core/dtypes';
import { GraftError, throwIfCancelled } from '../core/errors';
import { asymmetricGrid, awqGrid, roundToNearest, symmetricGrid, type Int4Matrix } from '../core/int4';
import { EMBEDDING, layerSpec, parameters, type DecoderSpec } from '../core/spec';
import { encodeUtf8, type FileSource, type RunStore } from '../core/store';
import type { WeightTensor } from '../core/weights';
import { sharedInputs, type Engine, type HiddenRows, type LayerView } from '../engine';
import { int4Config, type Int4Settings } from '../formats/int4/config';
import { int4Tensors, packInt4, type Int4Method } from '../formats/int4/layouts';
import { planInt4 } from '../formats/int4/plan';
import type { TensorShape } from '../formats/safetensors';
import { awqLayer, lacksOutputScales } from './steps/awq-layer';
import { embedSequences, type Calibration } from './steps/calibration';
import { gptqLayer, type QuantizedLayer } from './steps/gptq-layer';
import { linearsOf, matrixOf, type LayerWeights } from './steps/int4-layer';
import { openMerged, type MergedModel, type MergeSources } from './steps/merged-weights';
import { planTensorFiles, type WrittenTensor } from './steps/weight-files';
import { writeModelFolder } from './steps/write-model-folder';

/** Part of the mean diagonal of a Hessian that is added to it: AutoGPTQ's. */
const DAMP_PERCENT = 0.01;

const GPTQ_CONFIG = 'quantize_config.json';

export interface Int4Options {
  readonly method: Int4Method;
  /** Columns of a group, 128 where absent; −1 for one group of all, by GPTQ alone. */
  readonly groupSize?: number | undefined;
  /** GPTQ: the zero point in the middle, as most kernels want it; true where absent. */
  readonly symmetric?: boolean | undefined;
  /** GPTQ: columns by the size of their inputs (`desc_act`); false where absent. */
  readonly actOrder?: boolean | undefined;
}

export interface Int4Input extends MergeSources, Int4Options {
  readonly engine: Engine;
  readonly modelFiles: FileSource;
  readonly store: RunStore;
  /** Absent, every weight is rounded to the nearest: what both methods are held against. */
  readonly calibration?: Calibration | undefined;
  /** Most bytes of a weight file; smaller in tests. */
  readonly shardBytes?: number;
}

export interface Int4Export {
  readonly files: readonly string[];
  readonly settings: Int4Settings;
  /** What is otherwise than asked or than in the reference, a sentence each. */
  readonly notices: readonly string[];
}

/**
 * Quantises layer after layer, with one in f32 at a time, and writes what is done. What is not packed is stored in f16.
 * @param report layers that are done, of how many
 * @throws `bad-data` for rows that nothing can be told by, `unsupported`, `bad-file`, `out-of-memory`, `cancelled`
 */
export async function exportInt4(
  input: Int4Input,
  report: (layer: number, layers: number) => void,
  signal?: AbortSignal,
): Promise<Int4Export> {
  const { modelFiles, store } = input;
  const merged = await openMerged(input);
  const { settings, notices } = settingsOf(input, merged.spec);
  const quantization = int4Config(settings);
  const written = await writeModelFolder(
    {
      store,
      modelFiles,
      files: planTensorFiles(plannedTensors(merged, settings), input.shardBytes),
      weights: quantizedWeights(input, merged, settings, report, signal),
      asked: merged.asked,
      tied: merged.spec.tieWordEmbeddings,
      dtype: 'float16',
      quantization,
    },
    signal,
  );
  if (settings.method === 'awq') return { files: written, settings, notices };
  // AutoGPTQ looks for it first.
  await store.write(GPTQ_CONFIG, encodeUtf8(`${JSON.stringify(quantization, null, 2)}\n`));
  return { files: [...written, GPTQ_CONFIG], settings, notices };
}

function settingsOf(
  { method, groupSize = 128, symmetric = true, actOrder = false, calibration }: Int4Input,
  spec: DecoderSpec,
): { settings: Int4Settings; notices: string[] } {
  if (method === 'awq' && groupSize === -1)
    throw new GraftError('bad-config', 'AWQ has groups of some columns: give --group-size as a number above 0.');
  const { groupSize: size, packed, left, notices } = planInt4(spec, groupSize);
  const linears = linearsOf(spec);
  const quantised = sharedInputs(spec)
    .map((modules) => modules.map((name) => linears.get(name)!.module).filter((module) => packed.includes(module)))
    .filter((modules) => modules.length > 0);
  const isUnscaled = method === 'awq' && calibration !== undefined && lacksOutputScales(spec);
  const unscaled =
    'Heads share keys and values, so that nothing before self_attn.o_proj can take back scales of its inputs: it is ' +
    'quantised without them, as AutoAWQ does.';
  return {
    settings: { method, groupSize: size, symmetric, actOrder, dampPercent: DAMP_PERCENT, quantised, left },
    notices: [...notices, ...(isUnscaled ? [unscaled] : [])],
  };
}

/** Parameters outside of layers, in the order in which they come. */
function otherNames({ dtypes }: MergedModel): string[] {
  return [...dtypes.keys()].filter((name) => !name.startsWith('model.layers.'));
}

const prefixOf = (layer: number) => `model.layers.${layer}.`;

/** The tensors of the files, as `quantizedWeights` gives them. */
function plannedTensors(merged: MergedModel, { method, left, groupSize }: Int4Settings): TensorShape[] {
  const { spec } = merged;
  const shapes = new Map(parameters(spec).map(({ name, shape }) => [name, shape]));
  const linears = [...linearsOf(spec).values()].filter(({ module }) => !left.includes(module));
  const packed = new Set(linears.map(({ module }) => `${module}.weight`));
  const ofLayer = Array.from({ length: spec.numLayers }, (_, layer) => {
    const prefix = prefixOf(layer);
    const plain = [...shapes].filter(([name]) => name.startsWith(prefix) && !packed.has(name.slice(prefix.length)));
    return [
      ...linears.flatMap(({ module, outFeatures, inFeatures }) => {
        const groups = groupSize === -1 ? 1 : inFeatures / groupSize;
        return int4Tensors(method, outFeatures, inFeatures, groups).map(({ part, dtype, shape }) => ({
          name: `${prefix}${module}.${part}`,
          dtype,
          shape,
        }));
      }),
      ...plain.map(([name, shape]) => ({ name, dtype: 'f16', shape }) as const),
    ];
  });
  return [
    ...otherNames(merged).map((name) => ({ name, dtype: 'f16', shape: shapes.get(name)! }) as const),
    ...ofLayer.flat(),
  ];
}

async function* quantizedWeights(
  { engine, calibration }: Int4Input,
  merged: MergedModel,
  settings: Int4Settings,
  report: (layer: number, layers: number) => void,
  signal: AbortSignal | undefined,
): AsyncGenerator<WrittenTensor> {
  const { spec } = merged;
  const { method } = settings;
  let hidden: readonly HiddenRows[] = [];
  for await (const tensor of merged.weightsOf(new Set(otherNames(merged)), signal)) {
    if (calibration && tensor.name === EMBEDDING) hidden = embedSequences(calibration, tensor, spec);
    yield { name: tensor.name, bytes: asF16(tensor) };
  }
  const views = new LayerViews(engine, spec, calibration?.length ?? 1);
  try {
    for (let layer = 0; layer < spec.numLayers; layer++) {
      throwIfCancelled(signal);
      report(layer, spec.numLayers);
      const prefix = prefixOf(layer);
      const names = new Set([...merged.dtypes.keys()].filter((name) => name.startsWith(prefix)));
      const weights: LayerWeights = new Map();
      for await (const { name, bytes, dtype } of merged.weightsOf(names, signal))
        if (names.has(name)) weights.set(name.slice(prefix.length), toFloat32(bytes, dtype).slice());
      let done: QuantizedLayer;
      if (calibration) {
        const view = await views.of(layer);
        weights.forEach((values, name) => view.write(name, values));
        done = await (method === 'gptq' ? gptqLayer : awqLayer)({
          engine,
          view,
          spec,
          weights,
          hidden,
          settings,
          signal,
        });
      } else {
        done = { packed: roundLayer(spec, weights, settings), hidden };
      }
      hidden = done.hidden;
      yield* layerTensors(prefix, weights, done.packed, method);
    }
    report(spec.numLayers, spec.numLayers);
  } finally {
    views.dispose();
  }
}

/** Views of layers: layers of a kind share one. */
class LayerViews {
  private readonly views = new Map<string, LayerView>();

  constructor(
    private readonly engine: Engine,
    private readonly spec: DecoderSpec,
    private readonly length: number,
  ) {}

  async of(layer: number): Promise<LayerView> {
    const kind = JSON.stringify(layerSpec(this.spec, layer));
    const view = this.views.get(kind) ?? (await this.engine.openLayer(this.spec, layer, this.length));
    this.views.set(kind, view);
    return view;
  }

  dispose(): void {
    this.views.forEach((view) => view.dispose());
  }
}

function roundLayer(spec: DecoderSpec, weights: LayerWeights, settings: Int4Settings): Map<string, Int4Matrix> {
  const chooseGrid = settings.method === 'awq' ? awqGrid : settings.symmetric ? symmetricGrid : asymmetricGrid;
  const packed = new Map<string, Int4Matrix>();
  for (const linear of linearsOf(spec).values()) {
    if (settings.left.includes(linear.module)) continue;
    const size = settings.groupSize === -1 ? linear.inFeatures : settings.groupSize;
    const { values } = matrixOf(weights, linear);
    packed.set(linear.module, roundToNearest(values, linear.inFeatures, size, chooseGrid));
  }
  return packed;
}

function* layerTensors(
  prefix: string,
  weights: LayerWeights,
  packed: ReadonlyMap<string, Int4Matrix>,
  method: Int4Method,
): Generator<WrittenTensor> {
  for (const [module, matrix] of packed) {
    const { outFeatures, inFeatures, scales } = matrix;
    const parts = packInt4(method, matrix);
    for (const { part } of int4Tensors(method, outFeatures, inFeatures, scales.length / outFeatures))
      yield { name: `${prefix}${module}.${part}`, bytes: parts[part] };
  }
  for (const [name, values] of weights) {
    if (packed.has(name.replace(/\.weight$/, ''))) continue;
    const full = prefix + name;
    yield {
      name: full,
      bytes: asF16({ name: full, dtype: 'f32', shape: [values.length], bytes: fromFloat32(values, 'f32') }),
    };
  }
}

/** Elements that are converted at once: a table in f32 would be twice as large as the model. */
const CHUNK = 2 ** 20;

const INFINITE_F16 = 0x7c00;

/** @throws `unsupported` for a weight that f16 has no room for */
function asF16({ name, dtype, shape, bytes }: WeightTensor): Uint8Array {
  if (dtype === 'f16') return bytes;
  const count = elementCount(shape);
  const width = bytes.byteLength / count;
  const half = new Uint16Array(count);
  for (let from = 0; from < count; from += CHUNK) {
    const values = toFloat32(bytes.subarray(from * width, (from + CHUNK) * width), dtype);
    for (let i = 0; i < values.length; i++) {
      const bits = f32ToF16(values[i]!);
      if ((bits & INFINITE_F16) === INFINITE_F16) {
        throw new GraftError(
          'unsupported',
          `${name} holds ${values[i]}, which F16 has no room for, and what is not packed is stored in F16: export the model ` +
            'as GGUF, or merged.',
        );
      }
      half[from + i] = bits;
    }
  }
  return new Uint8Array(half.buffer);
}
