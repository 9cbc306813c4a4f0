/** Supervised fine-tuning: cross entropy of the labels, summed, over all labels of the step. */
import { headLoss, headLossGradients } from '../ops/head_loss';
import { countLabels } from '../model/batch';
import { labelsOf, type Objective } from './objective';

export const sft: Objective = {
  metrics: [],
  reference: 'none',
  build({ graph, labels, softcap, dLoss, trained }) {
    const { hidden, table, dTable } = trained();
    if (!dLoss) return { loss: headLoss(graph, hidden, table, labels, { softcap }), seeds: new Map() };
    const { loss, dHidden } = headLossGradients(graph, hidden, table, labels, dLoss, dTable, { softcap });
    return { loss, seeds: new Map([[hidden, dHidden]]) };
  },
  inputs: () => new Map(),
  divisor: labelsOf,
  count: countLabels,
};
