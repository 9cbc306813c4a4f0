/** Questions as token ids, through a model's own template. */
import type { HubModel } from '../../src/formats/model';
import {
  contextLengthFor,
  describeQuestions,
  obstacleOf,
  planAnswers,
  promptIds,
  questionsOf,
  refuseUnshownSystem,
  showsSystem,
  virtualTokensOf,
} from '../../src/recipes';
import type { RunLibrary } from '../../src/storage/indexeddb';
import type { PromptJobs, SamplingHints } from '../../src/protocol/prompts';
import type { JobHandlers } from '../jobs/job-host';
import type { OpenModels } from '../models/open-models';
import type { Pulse } from '../jobs/pulse';
import { readRunConfig } from '../runs/run-files';
import { storageOf } from '../models/weight-storage';
import type { DatasetReader } from './data';

/** Milliseconds that planning a large model may take on a slow computer, in one go. */
const PLANNING_MS = 10_000;

export function promptJobs(
  models: OpenModels,
  reader: DatasetReader,
  library: RunLibrary,
  pulse: Pulse,
): JobHandlers<PromptJobs> {
  return {
    'prompts.chat': async ({ model: ref, runId, messages }) => {
      const { model } = await models.openForRun(ref, runId);
      refuseUnshownSystem(model, messages);
      return [...promptIds(model, { kind: 'chat', messages })];
    },
    'prompts.facts': async ({ model: ref, runId, storage }) => {
      const { model } = await models.openForRun(ref, runId);
      const run = runId === null ? undefined : await readRunConfig(library, await library.get(runId));
      const most = model.spec.maxPositions - (run ? virtualTokensOf(run) : 0);
      const sizes = [...new Set([Math.min(contextLengthFor(1, model.spec), most), most])];
      return {
        sampling: samplingHints(model),
        takesSystem: takesSystem(model),
        contextLength: most,
        memory: pulse.during(PLANNING_MS, () =>
          sizes.map((tokens) => ({ tokens, bytes: planAnswers(model, run ?? storageOf(storage), tokens) })),
        ),
        ...(runId !== null && run
          ? await describeQuestions(await reader.file({ runId }), run.dataset_mapping)
          : { example: null, asksAlone: false }),
      };
    },
    'prompts.questions': async ({ model: ref, runId, limit }, job) => {
      const config = await readRunConfig(library, await library.get(runId));
      const { model } = await models.openForRun(ref, runId);
      const dataset = { runId };
      // The split that training made: by the same settings, of the same rows.
      const { train, tokenized } = (await reader.prepare({ model: ref, dataset, config }, job)).data;
      const trained = new Set(train.map(({ row }) => row));
      const questions = await questionsOf(await reader.file(dataset), {
        mapping: config.dataset_mapping,
        rows: new Map(tokenized.examples.map(({ row }) => [row, !trained.has(row)])),
        limit,
        obstacle: obstacleOf(config, model),
      });
      return questions.map(({ prompt, ...question }) => ({
        ...question,
        ids: [...promptIds(model, prompt)],
      }));
    },
  };
}

/** As `graft generate` takes them: temperature and what goes with it where the model has answers drawn at all. */
function samplingHints({ generationConfig }: HubModel): SamplingHints {
  const { doSample, temperature, topP, topK, minP, repetitionPenalty, maxNewTokens } = generationConfig;
  const drawing = doSample
    ? { temperature: temperature ?? 1, topP: topP ?? 1, topK: topK ?? 0, minP: minP ?? 0 }
    : doSample === false
      ? { temperature: 0 }
      : {};
  return {
    ...drawing,
    ...(repetitionPenalty !== undefined && { repetitionPenalty }),
    ...(maxNewTokens !== undefined && { maxNewTokens }),
  };
}

/** Whether the model can be told something before the conversation. */
function takesSystem({ template }: HubModel): boolean {
  const messages = [
    { role: 'system', content: 'Answer briefly.' },
    { role: 'user', content: 'Hello' },
  ] as const;
  return template !== undefined && showsSystem(template, messages);
}
