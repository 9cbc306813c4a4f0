/** Questions as token ids, through a model's own template. */
import { obstacleOf, promptIds, questionsOf } from '../../src/recipes';
import type { RunLibrary } from '../../src/storage/indexeddb';
import type { PromptJobs } from '../../src/protocol/prompts';
import type { JobHandlers } from '../job-host';
import type { OpenModels } from '../open-models';
import { readRunConfig } from '../run-files';
import type { DatasetReader } from './data';

export function promptJobs(models: OpenModels, reader: DatasetReader, library: RunLibrary): JobHandlers<PromptJobs> {
  return {
    'prompts.chat': async ({ model: ref, runId, messages }) => {
      const { model } = await models.openForRun(ref, runId);
      return [...promptIds(model, { kind: 'chat', messages })];
    },
    'prompts.questions': async ({ model: ref, runId, limit }, job) => {
      const config = await readRunConfig(library, await library.get(runId));
      const { model } = await models.openForRun(ref, runId);
      const dataset = { runId };
      const { train } = (await reader.prepare({ model: ref, dataset, config }, job)).data;
      const questions = await questionsOf(await reader.file(dataset), {
        mapping: config.dataset_mapping,
        trainedRows: new Set(train.map(({ row }) => row)),
        limit,
        obstacle: obstacleOf(config, model),
      });
      return questions.map(({ prompt, question, expected }) => ({
        question,
        expected,
        ids: [...promptIds(model, prompt)],
      }));
    },
  };
}
