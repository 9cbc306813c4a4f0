/** The leaves that the graphs of a session share, and how a graph gets at them. */
import type { AdapterSpec } from '../../core/adapter';
import { fromFloat32, toFloat32, type FloatDType, type WeightDType } from '../../core/dtypes';
import {
  EMBEDDING,
  HEAD,
  layerSpec,
  type DecoderSpec,
  type LinearSpec,
  type ParameterSpec,
  type RopeKind,
} from '../../core/spec';
import type { Graph, Tensor } from '../graph/graph';
import { methodOf } from '../methods';
import type { Method, MethodLeaves } from '../methods/method';
import type { AttentionSizes } from '../ops/attention_sizes';
import { addBias } from '../ops/bias';
import type { Positions } from '../ops/positions';
import type { TokenRows } from '../ops/token_rows';
import type { Checkpointing } from '../types';
import type { DecoderContext } from './decoder';
import { rotatedPairs } from './rotary';
import { methodParts, storedDTypes, storedParts, type StorageOptions } from './weights';

/** Names of the leaves that a session writes before it runs a program, and of those that it reads. */
export const LEAF = {
  ids: 'ids',
  /** The same without virtual tokens, and where each of its rows stands there: of a reference that has none. */
  plainIds: 'plain-ids',
  plainRows: 'plain-rows',
  labels: 'labels',
  /** The rows that have a label, in order. */
  labelled: 'labelled',
  /** Gradient of the summed loss: 1 / unmasked labels of the optimiser step. */
  dLoss: 'dloss',
  loss: 'loss',
  /** How much each token counts in its row's embedding. */
  poolWeights: 'pool-weights',
  /** Gradient of the embeddings of a batch. */
  dEmbeddings: 'dembeddings',
  /** Sums of what an objective logs. */
  metrics: 'metrics',
  /** Zero in training, which never writes it. */
  start: 'start',
  /** Where what is new in each sequence of a cache begins and ends. */
  cacheStart: 'cache-start',
  cacheEnd: 'cache-end',
  first: 'first',
  lastRows: 'last-rows',
  dropoutSeed: 'dropout-seed',
  schedule: 'schedule',
  /** The signed and the unsigned dynamic map, where moments are kept in 8 bits. */
  dynamicMaps: 'dynamic-maps',
} as const;

/** The leaf of the ids of tokens whose rows a tensor of the method has. */
export const tokenIdsLeaf = (tensor: string) => `ids:${tensor}`;

/** The leaves of the rotary tables of the layers of a kind. */
export const rotaryLeaf = {
  cos: (kind: RopeKind) => `rope-cos:${kind}`,
  sin: (kind: RopeKind) => `rope-sin:${kind}`,
} as const;

/** What all graphs of a session agree on, and the adapter in the graph, which the base model is without. */
export interface ModelOptions extends StorageOptions, AdapterSpec {
  /** Positions that the rotary tables cover. */
  readonly positions: number;
}

/** Leaves of one graph, and the linears on them. */
export class GraphLeaves implements MethodLeaves {
  private readonly stored: Map<string, readonly ParameterSpec[]>;
  private readonly dtypes: Map<string, WeightDType>;
  private readonly method: Method;

  constructor(
    readonly graph: Graph,
    readonly options: ModelOptions,
    private readonly dropoutSeed?: Tensor,
  ) {
    this.stored = storedParts(options);
    this.dtypes = storedDTypes(options);
    this.method = methodOf(options);
  }

  weight(name: string): Tensor {
    return this.table(name)[0]!;
  }

  table(name: string): Tensor[] {
    const { spec, partBytes } = this.options;
    const own = this.method.replaced.get(name);
    if (own) return methodParts(own, partBytes).map(({ name, shape }) => this.adapter(name, shape));
    return this.original(name === HEAD && spec.tieWordEmbeddings ? EMBEDDING : name);
  }

  original(name: string): Tensor[] {
    const parts = this.stored.get(name);
    if (!parts) throw new Error(`the model has no parameter ${name}`);
    const dtype = this.dtypes.get(name)!;
    const trainable = this.options.trains(name);
    return parts.map(({ name, shape }) => this.graph.leaf(name, { shape, dtype }, 'weights', trainable));
  }

  tokens(table: string): TokenRows | undefined {
    const own = this.method.tokenRows.get(table);
    if (!own) return undefined;
    return { ids: this.tokenIds(own.name), rows: this.adapter(own.name, own.shape) };
  }

  tokenIds(tensor: string): Tensor {
    const ids = this.method.tokenIds.get(tensor);
    if (!ids) throw new Error(`the method has no tokens for ${tensor}`);
    return this.input(tokenIdsLeaf(tensor), [ids.length], 'u32');
  }

  /** The table of the embedding, and after its rows those of virtual tokens, where there are any. */
  embedding(): Tensor[] {
    const own = this.method.virtualTokens;
    return [...this.table(EMBEDDING), ...(own ? [this.adapter(own.name, own.shape)] : [])];
  }

  adapter(name: string, shape: readonly number[]): Tensor {
    return this.graph.leaf(name, { shape, dtype: 'f32' }, 'adapter', this.options.trains(name));
  }

  derived(name: string, shape: readonly number[]): Tensor {
    return this.input(`derived:${name}`, shape, 'f32');
  }

  input(name: string, shape: readonly number[], dtype: 'f32' | 'u32' | 'i32'): Tensor {
    return this.graph.leaf(name, { shape, dtype }, 'workspace');
  }

  project(
    x: Tensor,
    target: LinearSpec,
    { firstRow = 0, residual }: { firstRow?: number; residual?: Tensor | undefined } = {},
  ): Tensor {
    const { graph, dropoutSeed } = this;
    const y = this.method.project({ graph, leaves: this, dropoutSeed, firstRow }, x, target, residual);
    return target.bias ? addBias(graph, y, this.weight(`${target.name}.bias`)) : y;
  }

  /** Where the rows of `batch` sequences stand; `packed` where one may hold several documents. */
  positions(batch: number, length: number, packed = false): Positions {
    const start = this.input(LEAF.start, [batch], 'u32');
    return packed ? { start, first: this.input(LEAF.first, [batch * length], 'u32') } : { start };
  }

  decoderContext(
    length: number,
    rows: Positions,
    attend: DecoderContext['attend'],
    checkpoint: boolean,
    checkpointing: Checkpointing = {},
  ): DecoderContext {
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
      embedding: () => this.embedding(),
      table: (name) => this.table(name),
      tokens: (name) => this.tokens(name),
      project: (x, target, place) => this.project(x, target, place),
      attend,
      checkpoint,
      checkpointing,
    };
  }
}

/** What attention of a layer computes over `keys` rows of keys a sequence. */
export function attentionSizes(
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
