/** Every objective by its name in `ObjectiveOptions`. */
import { distill } from './distill';
import { dpo } from './dpo';
import type { Objective } from './objective';
import type { ObjectiveOptions } from './options';
import { sft } from './sft';
import { weightedTargets } from './weighted-targets';

/** Supervised fine-tuning where absent. */
export function objectiveOf(options: ObjectiveOptions = { kind: 'sft' }): Objective {
  switch (options.kind) {
    case 'sft':
      return sft;
    case 'dpo':
      return dpo(options);
    case 'distill':
      return distill(options);
    case 'weighted-targets':
      return weightedTargets(options);
  }
}
