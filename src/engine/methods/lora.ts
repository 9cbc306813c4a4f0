/** LoRA and its variants on a linear: what they add to the graph, and the values they start from. */
import { Random } from '../../core/rng';
import {
  adapterParameters,
  loraAt,
  loraScaling,
  targetedLinears,
  type DecoderSpec,
  type LinearSpec,
  type LoraSpec,
} from '../../core/spec';
import { elementCount } from '../../core/dtypes';
import type { Graph, Tensor } from '../graph/graph';
import { add } from '../ops/add';
import { doraNorm, doraScale } from '../ops/dora';
import { dropout } from '../ops/dropout';
import { linear } from '../ops/matmul';

export interface AdapterContext {
  readonly graph: Graph;
  readonly lora: LoraSpec;
  /** The base weight of the linear. */
  readonly weight: Tensor;
  /** The leaf of an adapter tensor, by PEFT name and shape. */
  parameter(name: string, shape: readonly number[]): Tensor;
  /** Seed of the dropout masks; absent where nothing is dropped (evaluation, decoding). */
  readonly dropoutSeed?: Tensor | undefined;
  /** Tells the dropout masks of the model's linears apart. */
  readonly stream: number;
  /** Where x is some rows of a larger batch: the first of them. */
  readonly firstRow: number;
}

/**
 * y = x·Wᵀ + s · (drop(x)·Aᵀ)·Bᵀ (Hu et al. 2021, arXiv:2106.09685); with DoRA the sum is rescaled row by row to the
 * learned magnitude, y = m / ‖W + s·B·A‖ · (…) (arXiv:2402.09353). With DoRA and dropout PEFT lets only the base path
 * see the input undropped. `residual` is added to y.
 */
export function adaptedLinear(context: AdapterContext, x: Tensor, target: LinearSpec, residual?: Tensor): Tensor {
  const { graph, weight, dropoutSeed } = context;
  const lora = loraAt(context.lora, target.name);
  const prefix = `base_model.model.${target.name}`;
  const a = context.parameter(`${prefix}.lora_A.weight`, [lora.r, target.inFeatures]);
  const b = context.parameter(`${prefix}.lora_B.weight`, [target.outFeatures, lora.r]);
  const scaling = loraScaling(lora);
  const dropping = dropoutSeed !== undefined && lora.dropout > 0;
  const mask = { probability: lora.dropout, stream: context.stream, offset: context.firstRow * target.inFeatures };
  const dropped = dropping ? dropout(graph, x, dropoutSeed, mask) : x;

  // The base product stands first, so that its gradient comes last and takes the adapter's as its addend.
  if (!lora.useDora) {
    const base = linear(graph, x, weight, { addend: residual });
    return linear(graph, linear(graph, dropped, a), b, { alpha: scaling, addend: base });
  }

  const magnitude = context.parameter(`${prefix}.lora_magnitude_vector`, [target.outFeatures]);
  const norm = doraNorm(graph, weight, a, b, scaling);
  const base = linear(graph, dropped, weight);
  const direction = linear(graph, linear(graph, dropped, a), b, { alpha: scaling, addend: base });
  const scaled = doraScale(graph, direction, magnitude, norm);
  const sum = residual ? add(graph, scaled, residual) : scaled;
  return dropping ? linear(graph, add(graph, x, dropped, -1), weight, { addend: sum }) : sum;
}

/**
 * PEFT's initial values: A uniform in ±1/√in (Kaiming with a = √5), B zero, each drawn from the run's seed.
 * Magnitudes are the norms of the base weights' rows and are computed on the GPU.
 */
export function initialAdapter(spec: DecoderSpec, lora: LoraSpec, seed: number): Map<string, Float32Array> {
  const values = new Map<string, Float32Array>();
  adapterParameters(spec, lora).forEach(({ name, shape }, stream) => {
    const data = new Float32Array(elementCount(shape));
    if (name.endsWith('.lora_A.weight')) {
      const random = new Random(seed, stream);
      const bound = 1 / Math.sqrt(shape[1]!);
      data.forEach((_, i) => (data[i] = bound * (2 * random.uniform() - 1)));
    }
    values.set(name, data);
  });
  return values;
}

/** Sets every (zeroed) magnitude leaf to ‖W + s·B·A‖. */
export function magnitudeGraph(
  graph: Graph,
  spec: DecoderSpec,
  lora: LoraSpec,
  leaf: { weight(name: string): Tensor; adapter(name: string, shape: readonly number[]): Tensor },
  store: (norm: Tensor, magnitude: Tensor) => void,
): void {
  for (const target of targetedLinears(spec, lora)) {
    const own = loraAt(lora, target.name);
    const prefix = `base_model.model.${target.name}`;
    const a = leaf.adapter(`${prefix}.lora_A.weight`, [own.r, target.inFeatures]);
    const b = leaf.adapter(`${prefix}.lora_B.weight`, [target.outFeatures, own.r]);
    const norm = doraNorm(graph, leaf.weight(`${target.name}.weight`), a, b, loraScaling(own));
    store(norm, leaf.adapter(`${prefix}.lora_magnitude_vector`, [target.outFeatures]));
  }
}
