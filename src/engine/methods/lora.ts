/** LoRA on linears: a product of two small matrices is added to each (Hu et al. 2021, arXiv:2106.09685). */
import { elementCount } from '../../core/dtypes';
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
import type { Tensor } from '../graph/graph';
import { dropout } from '../ops/dropout';
import { linear } from '../ops/matmul';
import { full } from './full';
import type { Method, MethodLeaves, ProjectContext } from './method';

export function loraMethod(spec: DecoderSpec, lora: LoraSpec): Method {
  return methodOnTargets(spec, lora, adaptedLinear);
}

/** A method that gives a pair of LoRA matrices to each targeted linear, and leaves the others as they are. */
export function methodOnTargets(
  spec: DecoderSpec,
  lora: LoraSpec,
  adapted: (context: AdapterContext, x: Tensor, target: LinearSpec, residual?: Tensor) => Tensor,
): Method {
  const streams = new Map(targetedLinears(spec, lora).map((target, i) => [target.name, i]));
  return {
    parameters: adapterParameters(spec, lora),
    replaced: new Map(),
    tokenRows: new Map(),
    tokenIds: new Map(),
    trainsModel: false,
    initialValues: (seed) => initialAdapter(spec, lora, seed),
    project(context, x, target, residual) {
      const stream = streams.get(target.name);
      if (stream === undefined) return full.project(context, x, target, residual);
      return adapted({ ...context, lora, stream }, x, target, residual);
    },
  };
}

export interface AdapterContext extends ProjectContext {
  readonly lora: LoraSpec;
  /** Tells the dropout masks of the model's linears apart. */
  readonly stream: number;
}

/** y = x·Wᵀ + s · (drop(x)·Aᵀ)·Bᵀ. `residual` is added to y. */
function adaptedLinear(context: AdapterContext, x: Tensor, target: LinearSpec, residual?: Tensor): Tensor {
  const { graph, leaves } = context;
  const { a, b, scaling } = loraLeaves(leaves, context.lora, target);
  const dropped = droppedInput(context, x, target);
  // The base product stands first, so that its gradient comes last and takes the adapter's as its addend.
  const base = linear(graph, x, leaves.weight(`${target.name}.weight`), { addend: residual });
  return linear(graph, linear(graph, dropped, a), b, { alpha: scaling, addend: base });
}

/** The matrices of a targeted linear, A [r, in] and B [out, r], and what their product is scaled by. */
export function loraLeaves(
  leaves: MethodLeaves,
  lora: LoraSpec,
  target: LinearSpec,
): { readonly a: Tensor; readonly b: Tensor; readonly scaling: number } {
  const own = loraAt(lora, target.name);
  const prefix = `base_model.model.${target.name}`;
  return {
    a: leaves.adapter(`${prefix}.lora_A.weight`, [own.r, target.inFeatures]),
    b: leaves.adapter(`${prefix}.lora_B.weight`, [target.outFeatures, own.r]),
    scaling: loraScaling(own),
  };
}

/** What the adapter sees of x: x itself where nothing is dropped. */
export function droppedInput(
  { graph, lora, dropoutSeed, stream, firstRow }: AdapterContext,
  x: Tensor,
  target: LinearSpec,
): Tensor {
  if (dropoutSeed === undefined || lora.dropout === 0) return x;
  const mask = { probability: lora.dropout, stream, offset: firstRow * target.inFeatures };
  return dropout(graph, x, dropoutSeed, mask);
}

/** PEFT's initial values: A uniform in ±1/√in (Kaiming with a = √5), B zero, each drawn from the run's seed. */
function initialAdapter(spec: DecoderSpec, lora: LoraSpec, seed: number): Map<string, Float32Array> {
  const values = new Map<string, Float32Array>();
  adapterParameters(spec, lora).forEach(({ name, shape }, stream) => {
    if (!name.endsWith('.lora_A.weight')) return;
    const random = new Random(seed, stream);
    const bound = 1 / Math.sqrt(shape[1]!);
    values.set(
      name,
      new Float32Array(elementCount(shape)).map(() => bound * (2 * random.uniform() - 1)),
    );
  });
  return values;
}
