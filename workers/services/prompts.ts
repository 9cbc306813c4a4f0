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
