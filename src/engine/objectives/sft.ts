/** Supervised fine-tuning: cross entropy of the labels, summed, over all labels of the step. */
import { headLoss, headLossGradients } from '../ops/head_loss';
import { countLabels } from '../model/batch';
import { LEAF } from '../model/leaves';
import { labelsOf, type Objective } from './objective';

export const sft: Objective = {
  metrics: [],
  reference: 'none',
  build({ graph, labels, input, softcap, dLoss, trained }) {
    const targets = { labels, rows: input(LEAF.labelled, labels.shape, 'u32') };
    const { hidden, table, dTable } = trained();
    if (!dLoss) return { loss: headLoss(graph, hidden, table, targets, { softcap }), seeds: new Map() };
    const { loss, dHidden } = headLossGradients(graph, hidden, table, targets, dLoss, dTable, { softcap });
    return { loss, seeds: new Map([[hidden, dHidden]]) };
  },
  inputs: () => new Map(),
  divisor: labelsOf,
  count: countLabels,
};
