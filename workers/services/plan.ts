/** GPU memory of a run, before it is started. */
import { fitToBudget, planRun, type PreparedData, type RunPlan } from '../../src/recipes';
import type { PlanJobs, PlanReport } from '../../src/protocol/plan';
import type { JobHandlers } from '../job-host';
import type { Pulse } from '../pulse';
import type { DatasetReader } from './data';

/** Milliseconds that planning may take on a slow computer: it tries many plans of a large model, all in one go. */
const PLANNING_MS = 20_000;

export function planJobs(reader: DatasetReader, pulse: Pulse): JobHandlers<PlanJobs> {
  return {
    'plan.run': async (request, job) => {
      const { model, data } = await reader.prepare(request, job);
      return pulse.during(PLANNING_MS, () => planReport(planRun(request.config, model, data), data));
    },
    'plan.fit': async ({ run, budgetBytes }, job) => {
      const { model, data } = await reader.prepare(run, job);
      const { plan, choices } = pulse.during(PLANNING_MS, () =>
        fitToBudget(run.config, model, budgetBytes, data, { shorten: true }),
      );
      return { choices: choices.map((choice) => ({ ...choice })), plan: planReport(plan, data) };
    },
  };
}

function planReport(plan: RunPlan, data: PreparedData): PlanReport {
  const { memory, lengths, trainableParameters, totalParameters, storage } = plan;
  return {
    totalBytes: memory.totalBytes,
    bytes: { ...memory.bytes },
    lengths: [...lengths],
    trainableParameters,
    totalParameters,
    totalSteps: data.totalSteps,
    storage,
  };
}
