/** The graphs of a run: what a micro-batch, an evaluation, an update, a prefill and a decoding step compute. */
import {
  layerSpec,
  targetedLinears,
  type DecoderSpec,
  type LinearSpec,
  type LoraSpec,
  type ParameterSpec,
  type RopeKind,
} from '../../core/spec';
import { fromFloat32, toFloat32, type FloatDType, type WeightDType } from '../../core/dtypes';
import { DYNAMIC_BLOCK } from '../../core/dynamic-map';
import { eachGradient } from '../graph/autodiff';
import { Graph, type Tensor } from '../graph/graph';
import { gradientLeaf, groupLeaf, type FlatGroup } from '../compile/groups';
import { accumulate } from '../ops/accumulate';
import { attention } from '../ops/attention';
import type { AttentionSizes } from '../ops/attention_sizes';
import { addBias } from '../ops/bias';
import { gatherRows, kvAppend } from '../ops/cache';
import { headLoss, headLossGradients } from '../ops/head_loss';
import { linear } from '../ops/matmul';
import { adamw8bitOp, adamwOp, globalNorm } from '../ops/optimizer';
import type { Positions } from '../ops/positions';
import type { AdamWOptions, Checkpointing, MemoryBytes } from '../types';
import { decoder, head, headTable, type DecoderParts } from '../model/decoder';
import { adaptedLinear, magnitudeGraph } from '../methods/lora';
import { rotatedPairs } from '../model/rotary';
import { storedDTypes, storedParts, type StorageOptions } from '../model/weights';

/** Names of the leaves that a session writes before it runs a program, and of those that it reads. */
export const LEAF = {
  ids: 'ids',
  labels: 'labels',
  /** Gradient of the summed loss: 1 / unmasked labels of the optimiser step. */
  dLoss: 'dloss',
  loss: 'loss',
  start: 'start',
  first: 'first',
  lastRows: 'last-rows',
  dropoutSeed: 'dropout-seed',
  schedule: 'schedule',
  /** The signed and the unsigned dynamic map, where moments are kept in 8 bits. */
  dynamicMaps: 'dynamic-maps',
} as const;

/** The leaves of the rotary tables of the layers of a kind. */
export const rotaryLeaf = {
  cos: (kind: RopeKind) => `rope-cos:${kind}`,
  sin: (kind: RopeKind) => `rope-sin:${kind}`,
} as const;

/** What all graphs of a session agree on. */
export interface ModelOptions extends StorageOptions {
  /** The adapter in the graph; undefined for the base model. */
  readonly lora?: LoraSpec | undefined;
  /** Positions that the rotary tables cover. */
  readonly positions: number;
}

/** Leaves of one graph, and the linears on them. */
class GraphLeaves {
  private readonly stored: Map<string, readonly ParameterSpec[]>;
  private readonly dtypes: Map<string, WeightDType>;
  private readonly streams: Map<string, number>;

  constructor(
    readonly graph: Graph,
    readonly options: ModelOptions,
    private readonly dropoutSeed?: Tensor,
  ) {
    this.stored = storedParts(options);
    this.dtypes = storedDTypes(options);
    const targets = options.lora ? targetedLinears(options.spec, options.lora) : [];
    this.streams = new Map(targets.map((target, i) => [target.name, i]));
  }

  weight(name: string): Tensor {
    return this.table(name)[0]!;
  }

  /** The leaves of a parameter that may be stored in parts. */
  table(name: string): Tensor[] {
    const parts = this.stored.get(name);
    if (!parts) throw new Error(`the model has no parameter ${name}`);
    const dtype = this.dtypes.get(name)!;
    const trainable = this.options.trainable === 'all';
    return parts.map(({ name, shape }) => this.graph.leaf(name, { shape, dtype }, 'weights', trainable));
  }

  adapter(name: string, shape: readonly number[]): Tensor {
    return this.graph.leaf(name, { shape, dtype: 'f32' }, 'adapter', this.options.trainable === 'adapter');
  }

  input(name: string, shape: readonly number[], dtype: 'f32' | 'u32' | 'i32'): Tensor {
    return this.graph.leaf(name, { shape, dtype }, 'workspace');
  }

  project(
    x: Tensor,
    target: LinearSpec,
    { firstRow = 0, residual }: { firstRow?: number; residual?: Tensor | undefined } = {},
  ): Tensor {
    const weight = this.weight(`${target.name}.weight`);
    const stream = this.streams.get(target.name);
    const y =
      stream === undefined
        ? linear(this.graph, x, weight, { addend: residual })
        : adaptedLinear(
            {
              graph: this.graph,
              lora: this.options.lora!,
              weight,
              parameter: (name, shape) => this.adapter(name, shape),
              dropoutSeed: this.dropoutSeed,
              stream,
              firstRow,
            },
            x,
            target,
            residual,
          );
    return target.bias ? addBias(this.graph, y, this.weight(`${target.name}.bias`)) : y;
  }

  /** Where the rows of `batch` sequences stand; `packed` where one may hold several documents. */
  positions(batch: number, length: number, packed = false): Positions {
    const start = this.input(LEAF.start, [batch], 'u32');
    return packed ? { start, first: this.input(LEAF.first, [batch * length], 'u32') } : { start };
  }

  parts(
    length: number,
    rows: Positions,
    attend: DecoderParts['attend'],
    checkpoint: boolean,
    checkpointing: Checkpointing = {},
  ): DecoderParts {
    const { spec, positions, weightDType } = this.options;
    return {
      graph: this.graph,
      spec,
      length,
      rotary: (layer) => {
        const { rope: kind } = layerSpec(spec, layer);
        if (kind === 'none') return undefined;
        const table = [positions, rotatedPairs(spec, kind)];
        return {
          ...rows,
          cos: this.input(rotaryLeaf.cos(kind), table, 'f32'),
          sin: this.input(rotaryLeaf.sin(kind), table, 'f32'),
        };
      },
      embeddingScale: rounded(spec.embeddingScale ?? 1, weightDType),
      parameter: (name) => this.weight(name),
      table: (name) => this.table(name),
      project: (x, target, place) => this.project(x, target, place),
      attend,
      checkpoint,
      checkpointing,
    };
  }
}

export interface LossGraphOptions extends ModelOptions {
  readonly batch: number;
  readonly length: number;
  /** Whether a sequence may hold several documents; absent, it holds one. */
  readonly packed?: boolean;
  /** `loss` alone, or with the gradients added to their leaves. */
  readonly gradients: boolean;
  readonly dropout: boolean;
  readonly checkpoint: boolean;
  readonly checkpointing?: Checkpointing | undefined;
  /** Keep the logits too, [B·T, V], which training never has as a whole. */
  readonly logits?: boolean;
}

/** Adds the summed loss of a batch to the loss leaf and, if asked, its gradients to theirs. */
export function lossGraph(options: LossGraphOptions): { graph: Graph; logits: Tensor | undefined } {
  const { spec, batch, length } = options;
  const graph = new Graph();
  const seed = options.dropout ? graph.leaf(LEAF.dropoutSeed, { shape: [1], dtype: 'u32' }, 'workspace') : undefined;
  const leaves = new GraphLeaves(graph, options, seed);
  const rows = leaves.positions(batch, length, options.packed);
  const attend = (layer: number, q: Tensor, k: Tensor, v: Tensor) =>
    attention(graph, q, k, v, rows, attentionSizes(spec, layer, { batch, length, keys: length }));
  const parts = leaves.parts(length, rows, attend, options.checkpoint, options.checkpointing);
  const hidden = decoder(parts, leaves.input(LEAF.ids, [batch * length], 'u32'));
  const logits = options.logits ? graph.keep(head(parts, hidden)) : undefined;
  const labels = leaves.input(LEAF.labels, [batch * length], 'i32');
  const total = leaves.input(LEAF.loss, [1], 'f32');
  const table = headTable(parts);
  const cap = { softcap: spec.logitSoftcap };
  if (!options.gradients) {
    accumulate(graph, headLoss(graph, hidden, table, labels, cap), total);
    return { graph, logits };
  }
  const gradientOf = ({ leaf, shape }: Tensor) =>
    graph.leaf(gradientLeaf(leaf!.name), { shape, dtype: 'f32' }, 'gradients');
  const dTable = options.trainable === 'all' ? table.map(gradientOf) : [];
  const dLoss = leaves.input(LEAF.dLoss, [1], 'f32');
  const { loss, dHidden } = headLossGradients(graph, hidden, table, labels, dLoss, dTable, cap);
  for (const [parameter, gradient] of eachGradient(graph, new Map([[hidden, dHidden]]))) {
    accumulate(graph, gradient, gradientOf(parameter));
  }
  accumulate(graph, loss, total);
  return { graph, logits };
}

/** Clips by the global norm and applies AdamW to every flat group. Returns the norm [1]. */
export function updateGraph(
  groups: readonly FlatGroup[],
  adamw: AdamWOptions,
  maxNorm: number,
  adapter: boolean,
): { graph: Graph; norm: Tensor } {
  const graph = new Graph();
  const flat = (name: string, elements: number, kind: keyof MemoryBytes, dtype: 'f32' | 'u32' = 'f32') =>
    graph.leaf(name, { shape: [elements], dtype }, kind);
  const gradients = groups.map((group) => flat(groupLeaf.gradients(group), group.bytes / 4, 'gradients'));
  const norm = graph.keep(globalNorm(graph, gradients));
  const loss = graph.leaf(LEAF.loss, { shape: [1], dtype: 'f32' }, 'workspace');
  const schedule = graph.leaf(LEAF.schedule, { shape: [3], dtype: 'f32' }, 'workspace');
  groups.forEach((group, i) => {
    const elements = group.bytes / 4;
    const parameters = flat(groupLeaf.parameters(group), elements, adapter ? 'adapter' : 'weights');
    const inputs = [gradients[i]!, norm, loss, schedule];
    const { beta1, beta2, epsilon, weightDecay } = adamw;
    const attrs = { beta1, beta2, epsilon, weightDecay: group.decay ? weightDecay : 0, maxNorm };
    if (group.moments === '8bit') {
      const maps = flat(LEAF.dynamicMaps, 512, 'workspace');
      const codes = flat(groupLeaf.codes(group), (2 * elements) / 4, 'optimizer', 'u32');
      const absmax = flat(groupLeaf.absmax(group), (2 * elements) / DYNAMIC_BLOCK, 'optimizer');
      graph.apply(adamw8bitOp, [...inputs, maps, parameters, codes, absmax], attrs);
    } else {
      const expAvg = flat(groupLeaf.expAvg(group), elements, 'optimizer');
      const expAvgSq = flat(groupLeaf.expAvgSq(group), elements, 'optimizer');
      graph.apply(adamwOp, [...inputs, parameters, expAvg, expAvgSq], attrs);
    }
  });
  return { graph, norm };
}

/** DoRA's initial magnitudes, added to zeroed leaves. */
export function initialMagnitudes(options: ModelOptions): Graph {
  const graph = new Graph();
  const leaves = new GraphLeaves(graph, options);
  magnitudeGraph(
    graph,
    options.spec,
    options.lora!,
    { weight: (name) => leaves.weight(name), adapter: (name, shape) => leaves.adapter(name, shape) },
    (norm, magnitude) => accumulate(graph, norm, magnitude),
  );
  return graph;
}

export interface DecodeGraphOptions extends ModelOptions {
  readonly batch: number;
  /** Tokens a sequence: the padded prompt, or 1. */
  readonly length: number;
  /** Positions of the cache. */
  readonly capacity: number;
}

/** Appends tokens to the KV cache and returns the logits of one row of each sequence, [B, V]. */
export function decodeGraph(options: DecodeGraphOptions): { graph: Graph; logits: Tensor } {
  const { spec, batch, length, capacity } = options;
  const graph = new Graph();
  const leaves = new GraphLeaves(graph, options);
  const rows = leaves.positions(batch, length);
  const cache = [batch, capacity, spec.numKeyValueHeads * spec.headDim];
  const attend = (layer: number, q: Tensor, k: Tensor, v: Tensor) => {
    const keys = leaves.input(`cache:${layer}:keys`, cache, 'f32');
    const values = leaves.input(`cache:${layer}:values`, cache, 'f32');
    kvAppend(graph, k, rows.start, keys, length);
    kvAppend(graph, v, rows.start, values, length);
    return attention(graph, q, keys, values, rows, attentionSizes(spec, layer, { batch, length, keys: capacity }));
  };
  const parts = leaves.parts(length, rows, attend, false);
  const hidden = decoder(parts, leaves.input(LEAF.ids, [batch * length], 'u32'));
  const last = gatherRows(graph, hidden, leaves.input(LEAF.lastRows, [batch], 'u32'));
  const logits = graph.keep(head(parts, last));
  return { graph, logits };
}

/** What attention of a layer computes over `keys` rows of keys a sequence. */
function attentionSizes(
  spec: DecoderSpec,
  layer: number,
  rows: Pick<AttentionSizes, 'batch' | 'length' | 'keys'>,
): AttentionSizes {
  return {
    ...rows,
    heads: spec.numHeads,
    kvHeads: spec.numKeyValueHeads,
    headDim: spec.headDim,
    scale: spec.attentionScale,
    window: layerSpec(spec, layer).window,
    softcap: spec.attentionSoftcap,
  };
}

/** As a constant of the model becomes in PyTorch, which keeps it in the type of the weights. */
function rounded(value: number, dtype: FloatDType): number {
  return toFloat32(fromFloat32(Float32Array.of(value), dtype), dtype)[0]!;
}
