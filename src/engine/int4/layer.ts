/**
 * One layer of a model by itself on the device, in f32: what its linears are given is summed up there, and its weights are
 * replaced one after another. A layer is two halves, attention and MLP; hidden states between them are the caller's to keep.
 */
import { layerLinears, layerSpec, moduleName, type DecoderSpec } from '../../core/spec';
import { fuseBiases } from '../compile/bias';
import { Graph, type Tensor } from '../graph/graph';
import { byteSize } from '../graph/tensor';
import { TRAINS_NOTHING } from '../methods/trained';
import { attentionHalf, mlpHalf } from '../model/decoder';
import { attentionSizes, GraphLeaves, LEAF, type ModelOptions } from '../model/leaves';
import { RotaryLeaves } from '../model/rotary-leaves';
import { attention } from '../ops/attention';
import { addProduct } from '../ops/matmul';
import type { Memory } from '../runtime/memory';
import { placePrograms } from '../runtime/place-programs';
import type { Runtime } from '../runtime/runtime';
import type { HiddenRows, LayerHalf, LayerView } from './types';

const HIDDEN = 'hidden';

/** The name of a program, and of the leaf that it adds to: linears of one width share it. */
const inputsProgram = (module: string) => `inputs:${module}`;
const gramLeaf = (width: number) => `gram:${width}`;

interface Inputs {
  readonly half: LayerHalf;
  readonly width: number;
  /** What goes in, [T, width]. */
  readonly rows: Tensor;
}

export class GpuLayerView implements LayerView {
  private constructor(
    private readonly memory: Memory,
    private readonly rotary: RotaryLeaves,
    private readonly results: ReadonlyMap<LayerHalf, Tensor>,
    /** By linear. */
    private readonly inputs: ReadonlyMap<string, Inputs>,
  ) {}

  /** For rows of `length` tokens. @throws `out-of-memory` */
  static async create(runtime: Runtime, whole: DecoderSpec, layer: number, length: number): Promise<GpuLayerView> {
    const spec: DecoderSpec = { ...whole, numLayers: 1, ...(whole.layers && { layers: [layerSpec(whole, layer)] }) };
    const model: ModelOptions = { spec, weightDType: 'f32', trains: TRAINS_NOTHING, positions: length };
    const graphs = new Map<string, Graph>();
    const results = new Map<LayerHalf, Tensor>();
    const inputs = new Map<string, Inputs>();
    for (const half of ['attention', 'mlp'] as const) {
      const { graph, result } = halfGraph(model, half, length);
      results.set(half, graph.keep(result));
      graphs.set(half, graph);
      for (const module of halfGraph(model, half, length).given.keys()) {
        const own = halfGraph(model, half, length);
        const rows = own.graph.keep(own.given.get(module)!);
        const width = rows.shape[1]!;
        const total = own.graph.leaf(gramLeaf(width), { shape: [width, width], dtype: 'f32' }, 'workspace');
        addProduct(own.graph, rows, rows, total);
        graphs.set(inputsProgram(module), own.graph);
        inputs.set(module, { half, width, rows });
      }
    }
    graphs.forEach(fuseBiases);
    const read = [...results.values(), ...[...inputs.values()].map(({ rows }) => rows)].map(byteSize);
    const memory = await placePrograms(runtime, graphs, Math.max(...read));
    return new GpuLayerView(memory, new RotaryLeaves(memory, model), results, inputs);
  }

  write(name: string, values: Float32Array): void {
    this.memory.write(`model.layers.0.${name}`, values);
  }

  async run(half: LayerHalf, rows: HiddenRows): Promise<Float32Array> {
    this.writeRows(rows);
    const [values] = await this.memory.runAndRead(half, [this.results.get(half)!]);
    return values!;
  }

  async sumInputs(module: string, rows: readonly HiddenRows[]): Promise<Float32Array> {
    const { memory } = this;
    const { width } = this.inputs.get(module)!;
    memory.clear([gramLeaf(width)]);
    for (const row of rows) {
      this.writeRows(row);
      await memory.run(inputsProgram(module));
    }
    return memory.read(gramLeaf(width), width * width);
  }

  async meanInputs(module: string, rows: readonly HiddenRows[]): Promise<Float32Array> {
    const { width, rows: given } = this.inputs.get(module)!;
    const sums = new Float64Array(width);
    let tokens = 0;
    for (const row of rows) {
      this.writeRows(row);
      const [values] = await this.memory.runAndRead(inputsProgram(module), [given]);
      values!.forEach((value, i) => (sums[i % width]! += Math.abs(value)));
      tokens += values!.length / width;
    }
    return Float32Array.from(sums, (sum) => sum / tokens);
  }

  halfOf(module: string): LayerHalf {
    return this.inputs.get(module)!.half;
  }

  dispose(): void {
    this.memory.destroy();
  }

  private writeRows({ hidden, documents }: HiddenRows): void {
    const first = new Uint32Array(documents.reduce((sum, length) => sum + length, 0));
    let begin = 0;
    for (const length of documents) {
      first.fill(begin, begin, begin + length);
      begin += length;
    }
    this.memory.write(HIDDEN, hidden);
    // An MLP has no use for it.
    if (this.memory.holds(LEAF.first)) this.memory.write(LEAF.first, first);
    this.rotary.useFor(Math.max(...documents));
  }
}

/** One half, from hidden states [T, C] to those after it, with what each of its linears is given. */
function halfGraph(model: ModelOptions, half: LayerHalf, length: number) {
  const { spec } = model;
  const graph = new Graph();
  const leaves = new GraphLeaves(graph, model);
  const positions = leaves.positions(1, length, true);
  const attend = (layer: number, q: Tensor, k: Tensor, v: Tensor) =>
    attention(graph, q, k, v, positions, attentionSizes(spec, layer, { batch: 1, length, keys: length }));
  const context = leaves.decoderContext(length, positions, attend, false);
  const given = new Map<string, Tensor>();
  const watching: typeof context = {
    ...context,
    project: (x, target, place) => {
      given.set(moduleName(target), x);
      return context.project(x, target, place);
    },
  };
  const build = half === 'attention' ? attentionHalf : mlpHalf;
  const result = build(watching, 0, leaves.input(HIDDEN, [length, spec.hiddenSize], 'f32'));
  return { graph, result, given };
}

/** Linears that are given the same, in forward order, by the names of their modules. */
export function sharedInputs(spec: DecoderSpec): string[][] {
  const modules = layerLinears(spec, 0).map(moduleName);
  const isAlone = (module: string) => module === 'o_proj' || module === 'down_proj';
  const groups: string[][] = [[]];
  for (const module of modules) {
    if (isAlone(module)) groups.push([module], []);
    else groups.at(-1)!.push(module);
  }
  return groups.filter((group) => group.length > 0);
}
