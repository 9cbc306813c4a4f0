/** Scoring: the log-probability of chosen tokens, with and without the adapter, and nothing else of the logits. */
import { hasAdapter, virtualTokens } from '../../core/adapter';
import { fuseBiases } from '../compile/bias';
import { Graph, type Tensor } from '../graph/graph';
import { byteSize } from '../graph/tensor';
import { headTable, headTokens } from '../model/decoder';
import { GraphLeaves, LEAF, type ModelOptions } from '../model/leaves';
import { logProbs } from '../ops/log_probs';
import type { AdapterChoice, Batch, ScoreView, ScoreViewOptions } from '../types';
import { writeBatch } from './batch-leaves';
import { forwardPass } from './loss-graph';
import { adapterChoices, leavesRead, modelFor, type BatchViewPlan, type SessionCore } from './view';
import { withVirtualTokens } from './virtual-tokens';

export interface ScorePlan extends BatchViewPlan {
  /** Log-probabilities [B·T], by the program's name. */
  readonly logProbs: ReadonlyMap<string, Tensor>;
}

const programName = (adapter: boolean, length: number) => `score:${adapter ? 'tuned' : 'base'}:${length}`;

export function planScoring(model: ModelOptions, options: ScoreViewOptions): ScorePlan {
  const { batchSize: batch, lengths, packing: packed = false } = options;
  const graphs = new Map<string, Graph>();
  const results = new Map<string, Tensor>();
  for (const adapter of adapterChoices(model)) {
    for (const length of lengths) {
      const graph = new Graph();
      const shared = modelFor(model, adapter);
      const leaves = new GraphLeaves(graph, shared);
      const { context, hidden } = forwardPass(leaves, { ...shared, batch, length, packed, checkpoint: false });
      const targets = leaves.input(LEAF.labels, [batch * length], 'i32');
      const rows = leaves.input(LEAF.labelled, [batch * length], 'u32');
      const scored = logProbs(graph, hidden, headTable(context), { targets, rows }, [], {
        softcap: model.spec.logitSoftcap,
        tokens: headTokens(context),
      });
      const name = programName(adapter, length);
      graphs.set(name, graph);
      results.set(name, graph.keep(scored.logProbs));
      fuseBiases(graph);
    }
  }
  const readbackBytes = Math.max(...[...results.values()].map(byteSize));
  return { graphs, reads: leavesRead(graphs), logProbs: results, buffers: [], readbackBytes };
}

export class GpuScoreView implements ScoreView {
  constructor(
    private readonly core: SessionCore,
    private readonly options: ScoreViewOptions,
    private readonly planned: ScorePlan,
  ) {}

  run(batch: Batch, { useAdapter = true }: AdapterChoice = {}): Promise<Float32Array[]> {
    const { core, options, planned } = this;
    return core.exclusively(async () => {
      const asked = modelFor(core.model, useAdapter);
      const { length, rows } = writeBatch(core, planned, options, withVirtualTokens(batch, asked));
      const name = programName(hasAdapter(asked), length);
      const [values] = await core.memory.runAndRead(name, [planned.logProbs.get(name)!], rows);
      const before = virtualTokens(asked);
      return batch.inputIds.map((ids, row) => {
        // A row of the batch predicts the token after it.
        const scores = new Float32Array(before + ids.length);
        scores.set(values!.subarray(row * length, row * length + scores.length - 1), 1);
        return scores.subarray(before);
      });
    });
  }
}
