/** GPU memory of a run, before it is started. */
import type { RunConfig } from '../../src/core/config';
import type { HubModel } from '../../src/formats/model';
import { fitToBudget, planRun, talkSize, type PreparedData, type RunPlan } from '../../src/recipes';
import type { PlanJobs, PlanReport } from '../../src/protocol/plan';
import type { JobHandlers } from '../jobs/job-host';
import type { Pulse } from '../jobs/pulse';
import type { DatasetReader } from './data';

/** Milliseconds that planning may take on a slow computer: it tries many plans of a large model, all in one go. */
const PLANNING_MS = 20_000;

export function planJobs(reader: DatasetReader, pulse: Pulse): JobHandlers<PlanJobs> {
  return {
    'plan.run': async (request, job) => {
      const { model, data } = await reader.prepare(request, job);
      return pulse.during(PLANNING_MS, () => {
        const { config, talk } = request;
        // A plan of a large model takes a moment: the one with a chat is made where it is asked for.
        return planReport(planRun(config, model, data), talk ? withTalk(config, model, data) : undefined, data);
      });
    },
    'plan.fit': async ({ run, budgetBytes }, job) => {
      const { model, data } = await reader.prepare(run, job);
      return pulse.during(PLANNING_MS, () => {
        const { run: fitted, plan, choices } = fitToBudget(run.config, model, budgetBytes, data, { shorten: true });
        const talking = withTalk(fitted, model, data);
        const talk = run.talk && talking.memory.totalBytes <= budgetBytes;
        return {
          choices: choices.map((choice) => ({ ...choice })),
          talk,
          plan: planReport(plan, talk ? talking : undefined, data),
        };
      });
    },
  };
}

/** The plan of a run with room for a chat beside it. */
function withTalk(config: RunConfig, model: HubModel, data: PreparedData): RunPlan {
  return planRun(config, model, data, { decode: talkSize(config, model.spec) });
}

function planReport(alone: RunPlan, talking: RunPlan | undefined, data: PreparedData): PlanReport {
  const { memory, lengths, trainableParameters, totalParameters, flopsPerToken, storage } = talking ?? alone;
  return {
    totalBytes: memory.totalBytes,
    bytes: { ...memory.bytes },
    lengths: [...lengths],
    trainableParameters,
    totalParameters,
    flopsPerToken,
    totalSteps: data.totalSteps,
    storage,
    talkBytes: memory.totalBytes - alone.memory.totalBytes,
  };
}
