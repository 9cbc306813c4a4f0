/** Embedding: pooled hidden states of rows, and the gradient of what is trained from theirs. */
import { hasAdapter, virtualTokens } from '../../core/adapter';
import type { ParameterSpec } from '../../core/spec';
import type { WeightTensor } from '../../core/weights';
import { gradientLeaf } from '../compile/groups';
import { fuseBiases } from '../compile/bias';
import { keepRepeats } from '../compile/reuse';
import { addGradients } from '../graph/autodiff';
import { Graph, type Tensor } from '../graph/graph';
import { byteSize } from '../graph/tensor';
import { trainedLeaves } from '../methods/trained';
import { GraphLeaves, LEAF, type ModelOptions } from '../model/leaves';
import { pool } from '../ops/pool';
import type { EmbedGradients, EmbedOptions, EmbedRows, EmbedView, EmbedViewOptions } from '../types';
import { writeBatch } from './batch-leaves';
import { readGradients } from './gradients';
import { forwardPass } from './loss-graph';
import { adapterChoices, leavesRead, modelFor, type BatchViewPlan, type SessionCore } from './view';
import { withVirtualTokens } from './virtual-tokens';

export interface EmbedPlan extends BatchViewPlan {
  /** Embeddings [B, C], by the program's name. */
  readonly embeddings: ReadonlyMap<string, Tensor>;
  /** The parameters that have a gradient, part by part. */
  readonly differentiated: readonly ParameterSpec[];
}

const programName = (kind: 'tuned' | 'base' | 'gradients', length: number) => `embed:${kind}:${length}`;

export function planEmbedding(model: ModelOptions, options: EmbedViewOptions): EmbedPlan {
  const graphs = new Map<string, Graph>();
  const embeddings = new Map<string, Tensor>();
  const reached = new Set<string>();
  const add = (name: string, { graph, pooled }: ReturnType<typeof embedGraph>) => {
    graphs.set(name, graph);
    embeddings.set(name, pooled);
  };
  for (const length of options.lengths) {
    for (const adapter of adapterChoices(model)) {
      add(programName(adapter ? 'tuned' : 'base', length), embedGraph(modelFor(model, adapter), options, length));
    }
    if (options.gradients) add(programName('gradients', length), embedGraph(model, options, length, reached));
  }
  const readbackBytes = Math.max(...[...embeddings.values()].map(byteSize));
  // The head, for one, has no part in an embedding.
  const differentiated = trainedLeaves(model).filter(({ name }) => reached.has(name));
  return { graphs, reads: leavesRead(graphs), embeddings, differentiated, buffers: [], readbackBytes };
}

/** Adds gradients to their leaves, and the names of what has one to `reached`, where that is given. */
function embedGraph(
  model: ModelOptions,
  { batchSize: batch, gradientCheckpointing = false, checkpointing }: EmbedViewOptions,
  length: number,
  reached?: Set<string>,
): { graph: Graph; pooled: Tensor } {
  const graph = new Graph();
  const leaves = new GraphLeaves(graph, model);
  const checkpoint = reached !== undefined && gradientCheckpointing;
  const { hidden } = forwardPass(leaves, { ...model, batch, length, checkpoint, checkpointing });
  const weights = leaves.input(LEAF.poolWeights, [batch * length], 'f32');
  const pooled = graph.keep(pool(graph, hidden, weights, length));
  if (reached) {
    const seeds = new Map([[pooled, leaves.input(LEAF.dEmbeddings, pooled.shape, 'f32')]]);
    addGradients(graph, seeds, ({ leaf, shape }) => {
      reached.add(leaf!.name);
      return graph.leaf(gradientLeaf(leaf!.name), { shape, dtype: 'f32' }, 'gradients');
    });
    keepRepeats(graph);
  }
  fuseBiases(graph);
  return { graph, pooled };
}

export class GpuEmbedView implements EmbedView {
  constructor(
    private readonly core: SessionCore,
    private readonly options: EmbedViewOptions,
    private readonly planned: EmbedPlan,
  ) {}

  run(rows: EmbedRows, { pooling, useAdapter = true }: EmbedOptions): Promise<Float32Array> {
    const { core } = this;
    const tuned = useAdapter && hasAdapter(core.model);
    const work = () => this.embed(tuned ? 'tuned' : 'base', this.write(rows, pooling, tuned), rows.inputIds.length);
    return core.exclusively(work);
  }

  differentiate(
    rows: EmbedRows,
    { pooling }: Pick<EmbedOptions, 'pooling'>,
    dEmbeddings: Float32Array,
  ): Promise<EmbedGradients> {
    const { core, options, planned } = this;
    const { memory, model } = core;
    const count = rows.inputIds.length;
    if (!options.gradients) throw new Error('gradients of embeddings were not planned for');
    if (dEmbeddings.length !== count * model.spec.hiddenSize) {
      throw new Error(`expected the gradients of ${count} embeddings, not ${dEmbeddings.length} values`);
    }
    const work = async () => {
      memory.clear(planned.differentiated.map(({ name }) => gradientLeaf(name)));
      const seeds = new Float32Array(options.batchSize * model.spec.hiddenSize);
      seeds.set(dEmbeddings);
      memory.write(LEAF.dEmbeddings, seeds);
      const embeddings = await this.embed('gradients', this.write(rows, pooling, true), count);
      const gradients: WeightTensor[] = await readGradients(memory, planned.differentiated);
      return { embeddings, gradients };
    };
    return core.accumulating(() => core.exclusively(work));
  }

  /** Writes the rows and how each of their tokens counts. Returns their padded length. */
  private write({ inputIds, mask }: EmbedRows, pooling: EmbedOptions['pooling'], useAdapter: boolean): number {
    const { core, options, planned } = this;
    const labels = inputIds.map((row) => row.map(() => -100));
    const asked = modelFor(core.model, useAdapter);
    const { length } = writeBatch(core, planned, options, withVirtualTokens({ inputIds, labels }, asked));
    const before = virtualTokens(asked);
    const weights = new Float32Array(options.batchSize * length);
    inputIds.forEach((ids, row) => {
      const counted = [...ids.keys()].filter((i) => mask?.[row]?.[i] ?? true);
      if (counted.length === 0) throw new Error(`row ${row} has no token that counts`);
      const pooled = pooling === 'last' ? counted.slice(-1) : counted;
      for (const i of pooled) weights[row * length + before + i] = 1 / pooled.length;
    });
    core.memory.write(LEAF.poolWeights, weights);
    return length;
  }

  private async embed(kind: 'tuned' | 'base' | 'gradients', length: number, rows: number): Promise<Float32Array> {
    const { memory, model } = this.core;
    const name = programName(kind, length);
    const [values] = await memory.runAndRead(name, [this.planned.embeddings.get(name)!]);
    return values!.slice(0, rows * model.spec.hiddenSize);
  }
}
