/**
 * Cross entropy against several weighted tokens a position, such as a teacher's most likely ones: −Σ weight · log-probability
 * over the targets of every position whose next token has a label, divided by the number of such positions in the step.
 */
import { dot } from '../ops/dot';
import { logProbs } from '../ops/log_probs';
import { countLabels } from '../model/batch';
import type { Batch } from '../types';
import { labelsOf, lossSeeds, type Objective } from './objective';
import type { WeightedTargetsOptions } from './options';

const TARGETS = 'targets';
const WEIGHTS = 'target-weights';

const NO_TARGET = -1;

/** `targets` are the targets of a position, K. */
export function weightedTargets({ targets }: WeightedTargetsOptions): Objective {
  return {
    metrics: [],
    reference: 'none',
    build({ graph, batch, length, labelled, softcap, dLoss, trained, input }) {
      const { hidden, table, dTable, tokens } = trained();
      const shape = [batch * length, targets];
      const chosen = { targets: input(TARGETS, shape, 'i32'), rows: labelled };
      const { logProbs: found } = logProbs(graph, hidden, table, chosen, dTable, { softcap, tokens });
      const loss = dot(graph, found, input(WEIGHTS, shape, 'f32'), -1);
      return { loss, seeds: lossSeeds(loss, dLoss) };
    },
    inputs(given, { batch, length }) {
      const ids = new Int32Array(batch * length * targets).fill(NO_TARGET);
      const weights = new Float32Array(ids.length);
      eachTrainedPosition(given, (row, position) => {
        const found = given.targets?.[row]?.[position];
        if (!found || found.ids.length > targets || found.ids.length !== found.weights.length) {
          throw new Error(`row ${row} has no targets, or more than ${targets}, at position ${position}`);
        }
        const first = (row * length + position) * targets;
        ids.set(found.ids, first);
        weights.set(found.weights, first);
      });
      return new Map<string, Int32Array | Float32Array>([
        [TARGETS, ids],
        [WEIGHTS, weights],
      ]);
    },
    divisor: labelsOf,
    count: countLabels,
  };
}

function eachTrainedPosition(batch: Batch, visit: (row: number, position: number) => void): void {
  if (batch.documents) throw new Error('weighted targets are of rows of one document each');
  batch.labels.forEach((labels, row) => {
    for (let position = 0; position + 1 < labels.length; position++) {
      if (labels[position + 1]! >= 0) visit(row, position);
    }
  });
}
