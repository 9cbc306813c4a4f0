/** Supervised fine-tuning: cross entropy of the labels, summed, over all labels of the step. */
import { headLoss, headLossGradients } from '../ops/head_loss';
import { countLabels } from '../model/batch';
import { labelsOf, type Objective } from './objective';

export const sft: Objective = {
  metrics: [],
  reference: 'none',
  build({ graph, labels, labelled, softcap, dLoss, trained }) {
    const targets = { labels, rows: labelled };
    const { hidden, table, dTable, tokens } = trained();
    const options = { softcap, tokens };
    if (!dLoss) return { loss: headLoss(graph, hidden, table, targets, options), seeds: new Map() };
    const { loss, dHidden } = headLossGradients(graph, hidden, table, targets, dLoss, dTable, options);
    return { loss, seeds: new Map([[hidden, dHidden]]) };
  },
  inputs: () => new Map(),
  divisor: labelsOf,
  count: countLabels,
};
