/** When held-out rows are evaluated, where the run file doesn't say. */
import type { RunConfig } from './config';

/** Evaluations of a run that leaves `eval_steps` open, as far as it has so many steps. */
const FEWEST = 5;
/** Steps between two of them in a long run. */
const MOST_STEPS = 25;

/** Steps between evaluations: `eval_steps`, else 25, or a fifth of the run where that is less. */
export function evaluationSteps({ eval_steps }: Partial<Pick<RunConfig, 'eval_steps'>>, totalSteps: number): number {
  return eval_steps ?? Math.max(1, Math.min(MOST_STEPS, Math.floor(totalSteps / FEWEST)));
}
