/**
 * Direct preference optimisation (arXiv:2305.18290) with the sigmoid, as TRL's DPOTrainer computes it. Sequences come in
 * pairs: the chosen answer of each before the rejected one. A micro-batch's loss is the mean over its pairs, a step's the
 * mean over its micro-batches.
 */
import { DPO_METRICS, dpoLoss } from '../ops/dpo_loss';
import { sequenceSums } from '../ops/sequence_sums';
import type { Batch } from '../types';
import { labelLogProbs, lossSeeds, type Objective, type ObjectiveContext, type Pass } from './objective';
import type { DpoOptions } from './options';

const WEIGHTS = 'pair-weights';
const REFERENCE = 'reference-log-probs';

export function dpo({ beta, reference }: DpoOptions): Objective {
  return {
    metrics: DPO_METRICS,
    reference: reference === 'rows' ? 'none' : reference,
    build(context) {
      const { graph, batch, dLoss } = context;
      // The reference comes first: nothing of its pass is left when the other one begins.
      const ofReference =
        reference === 'rows' ? context.input(REFERENCE, [batch], 'f32') : answers(context, context.reference());
      const ofTrained = answers(context, context.trained());
      const weights = context.input(WEIGHTS, [batch / 2], 'f32');
      const { loss, metrics } = dpoLoss(graph, ofTrained, ofReference, weights, beta);
      return { loss, metrics, seeds: lossSeeds(loss, dLoss) };
    },
    inputs(given, { batch }) {
      const pairs = pairsOf(given);
      const weights = Float32Array.from({ length: batch / 2 }, (_, pair) => (pair < pairs ? 1 / pairs : 0));
      if (reference !== 'rows') return new Map([[WEIGHTS, weights]]);
      const found = given.referenceLogProbs;
      if (found?.length !== given.inputIds.length)
        throw new Error('a batch without log-probabilities of the reference');
      const logProbs = new Float32Array(batch);
      logProbs.set(found);
      return new Map([
        [WEIGHTS, weights],
        [REFERENCE, logProbs],
      ]);
    },
    divisor: (microBatches) => microBatches.length,
    count: pairsOf,
  };
}

/** Log-probabilities of whole answers, f32 [B]. */
function answers(context: ObjectiveContext, pass: Pass) {
  const { graph, labels, length } = context;
  return sequenceSums(graph, labelLogProbs(context, pass), labels, { length, mean: false });
}

function pairsOf({ inputIds }: Batch): number {
  if (inputIds.length % 2 !== 0) throw new Error(`${inputIds.length} sequences are no pairs`);
  return inputIds.length / 2;
}
