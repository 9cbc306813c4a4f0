/** Merging an adapter into the weights that it was trained on, tensor by tensor: PEFT's `merge_and_unload`. */
import { elementCount, fromFloat32, toFloat32 } from '../../core/dtypes';
import {
  adapterParameters,
  EMBEDDING,
  HEAD,
  isUntiedBy,
  loraAt,
  loraScaling,
  savedParameters,
  targetedLinears,
  tokenRows,
  type DecoderSpec,
  type LinearSpec,
  type LoraSpec,
  type TokenRowsSpec,
} from '../../core/spec';
import { wholeTensors, type WeightStream, type WeightTensor } from '../../core/weights';
import { Graph, type Tensor } from '../graph/graph';
import type { Memory } from '../runtime/memory';
import { matmul } from '../ops/matmul';
import { placePrograms } from '../runtime/place-programs';
import type { Runtime } from '../runtime/runtime';
import { checkTensors, converted } from '../runtime/upload';

const LEAF = { weight: 'weight', a: 'lora_A', b: 'lora_B' } as const;

/**
 * Yields every weight of the stream, whole and in its own dtype: W + s·B·A for a targeted linear, scaled by row to the learned
 * magnitude with DoRA, the copies of modules and rows of tables that the adapter brings, and the others as they came. The sum is taken in
 * f32 and rounded once. A head that is no longer tied to its embedding comes after that.
 */
export async function* mergeAdapter(
  runtime: Runtime,
  spec: DecoderSpec,
  lora: LoraSpec,
  adapter: readonly WeightTensor[],
  weights: WeightStream,
): AsyncGenerator<WeightTensor> {
  checkTensors(adapter, adapterParameters(spec, lora));
  const tensors = new Map(adapter.map((tensor) => [tensor.name, tensor]));
  const targets = new Map(targetedLinears(spec, lora).map((linear) => [`${linear.name}.weight`, linear]));
  const saved = savedParameters(spec, lora);
  const ofTokens = tokenRows(spec, lora);
  const inPlaceOf = (weight: WeightTensor, name = weight.name): WeightTensor => {
    const copy = tensors.get(saved.get(name)?.name ?? '');
    const rows = ofTokens.get(name);
    const bytes = copy ? converted(copy, weight.dtype) : rows ? withRows(weight, rows, tensors) : weight.bytes;
    return { ...weight, name, bytes };
  };
  const untied = isUntiedBy(spec, lora);
  function* withCopies(weight: WeightTensor): Generator<WeightTensor> {
    yield inPlaceOf(weight);
    if (untied && weight.name === EMBEDDING) yield inPlaceOf(weight, HEAD);
  }
  const mergers = new Map<string, Merger>();
  try {
    for await (const weight of wholeTensors(weights)) {
      const target = targets.get(weight.name);
      if (!target) {
        yield* withCopies(weight);
        continue;
      }
      const own = loraAt(lora, target.name);
      const kind = `${target.outFeatures}×${target.inFeatures} ${own.r} ${own.alpha}`;
      const merger = mergers.get(kind) ?? (await Merger.create(runtime, target, own));
      mergers.set(kind, merger);
      const part = (name: string) => tensors.get(`base_model.model.${target.name}.${name}`);
      const merged = await merger.merge(weight, part('lora_A.weight')!, part('lora_B.weight')!);
      if (lora.useDora) scaleRows(merged, toFloat32(part('lora_magnitude_vector')!.bytes, 'f32'), target.inFeatures);
      yield { ...weight, bytes: fromFloat32(merged, weight.dtype) };
    }
  } finally {
    for (const merger of mergers.values()) merger.dispose();
  }
}

/** W + s·B·A for linears of one shape, rank and scaling. */
class Merger {
  private constructor(
    private readonly memory: Memory,
    private readonly sum: Tensor,
  ) {}

  static async create(runtime: Runtime, { outFeatures, inFeatures }: LinearSpec, lora: LoraSpec): Promise<Merger> {
    const graph = new Graph();
    const weight = graph.leaf(LEAF.weight, { shape: [outFeatures, inFeatures], dtype: 'f32' }, 'weights');
    const a = graph.leaf(LEAF.a, { shape: [lora.r, inFeatures], dtype: 'f32' }, 'adapter');
    const b = graph.leaf(LEAF.b, { shape: [outFeatures, lora.r], dtype: 'f32' }, 'adapter');
    const sum = graph.keep(matmul(graph, b, a, { alpha: loraScaling(lora), addend: weight }));
    const memory = await placePrograms(runtime, new Map([['merge', graph]]), 4 * elementCount(sum.shape));
    return new Merger(memory, sum);
  }

  async merge(weight: WeightTensor, a: WeightTensor, b: WeightTensor): Promise<Float32Array> {
    this.memory.write(LEAF.weight, converted(weight, 'f32'));
    this.memory.write(LEAF.a, converted(a, 'f32'));
    this.memory.write(LEAF.b, converted(b, 'f32'));
    const [sum] = await this.memory.runAndRead('merge', [this.sum]);
    return sum!;
  }

  dispose(): void {
    this.memory.destroy();
  }
}

/** A table with rows of the adapter in the place of its own, rounded to its dtype. */
function withRows(
  { dtype, bytes, shape }: WeightTensor,
  { name, ids }: TokenRowsSpec,
  tensors: ReadonlyMap<string, WeightTensor>,
): Uint8Array<ArrayBuffer> {
  const table = new Uint8Array(bytes);
  const rows = converted(tensors.get(name)!, dtype);
  const rowBytes = table.byteLength / shape[0]!;
  ids.forEach((id, i) => table.set(rows.subarray(i * rowBytes, (i + 1) * rowBytes), id * rowBytes));
  return table;
}

/** Gives each row the length in `magnitude` (arXiv:2402.09353, equation 5). */
function scaleRows(matrix: Float32Array, magnitude: Float32Array, columns: number): void {
  magnitude.forEach((length, row) => {
    const values = matrix.subarray(row * columns, (row + 1) * columns);
    const norm = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
    values.forEach((value, i) => (values[i] = (value * length) / norm));
  });
}
