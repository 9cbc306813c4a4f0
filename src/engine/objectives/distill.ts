/**
 * Distillation from the log-probabilities that a teacher gave its likeliest tokens (Agarwal et al. 2023, arXiv:2306.13649):
 * the divergence between both at every position whose next token has a label, divided by the number of such positions in
 * the step, as TRL's GKDTrainer and DistillationTrainer compute it.
 */
import { distillLoss } from '../ops/distill_loss';
import { logProbs } from '../ops/log_probs';
import { countLabels } from '../model/batch';
import { labelsOf, lossSeeds, type Objective } from './objective';
import type { DistillOptions } from './options';

const TARGETS = 'teacher-ids';
const TEACHER = 'teacher-log-probs';

const NO_TARGET = -1;

/** `targets` are the most tokens that a position of the teacher's has, K. */
export function distill({ targets, ...divergence }: DistillOptions): Objective {
  return {
    metrics: [],
    reference: 'none',
    build({ graph, batch, length, labelled, softcap, dLoss, trained, input }) {
      const { hidden, table, dTable, tokens } = trained();
      const shape = [batch * length, targets];
      const ids = input(TARGETS, shape, 'i32');
      const student = logProbs(graph, hidden, table, { targets: ids, rows: labelled }, dTable, {
        softcap,
        tokens,
      }).logProbs;
      const loss = distillLoss(graph, student, ids, input(TEACHER, shape, 'f32'), divergence);
      return { loss, seeds: lossSeeds(loss, dLoss) };
    },
    inputs({ labels, teacher, documents }, { batch, length }) {
      if (documents || teacher?.length !== labels.length) throw new Error('a batch without its teacher, or packed');
      const ids = new Int32Array(batch * length * targets).fill(NO_TARGET);
      const logProbs = new Float32Array(ids.length);
      for (const [row, { perToken, ids: found, logProbs: values }] of teacher.entries()) {
        if (perToken > targets)
          throw new Error(`row ${row} has ${perToken} targets a token, and ${targets} are planned`);
        for (let position = 0; position + 1 < labels[row]!.length; position++) {
          if (labels[row]![position + 1]! < 0) continue;
          const [from, to] = [position * perToken, (row * length + position) * targets];
          ids.set(found.subarray(from, from + perToken), to);
          logProbs.set(values.subarray(from, from + perToken), to);
        }
      }
      return new Map<string, Int32Array | Float32Array>([
        [TARGETS, ids],
        [TEACHER, logProbs],
      ]);
    },
    divisor: labelsOf,
    count: countLabels,
  };
}
