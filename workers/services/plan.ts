/** GPU memory of a run, before it is started. */
import { fitToBudget, planRun, type PreparedData, type RunPlan } from '../../src/recipes';
import type { PlanJobs, PlanReport } from '../../src/protocol/plan';
import type { JobHandlers } from '../job-host';
import type { DatasetReader } from './data';

export function planJobs(reader: DatasetReader): JobHandlers<PlanJobs> {
  return {
    'plan.run': async (request, job) => {
      const { model, data } = await reader.prepare(request, job);
      return planReport(planRun(request.config, model, data), data);
    },
    'plan.fit': async ({ run, budgetBytes }, job) => {
      const { model, data } = await reader.prepare(run, job);
      const { plan, choices } = fitToBudget(run.config, model, budgetBytes, data, { shorten: true });
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
