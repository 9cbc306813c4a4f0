/** How well the base model and the tuned one answer the questions of a run's data. */
import type { EvaluationJobs, EvaluationService } from '../../src/protocol/evaluation';
import type { EvaluationStore } from '../../src/storage/indexeddb';
import type { GpuModels } from '../models/gpu-models';
import type { JobHandlers } from '../jobs/job-host';
import type { TextLink } from '../jobs/text-link';

export function evaluationService(evaluations: EvaluationStore): EvaluationService {
  return {
    read: async (runId) => (await evaluations.read(runId)) ?? null,
    begin: (runId, asked) => evaluations.begin(runId, asked),
    keepRow: (runId, index, row) => evaluations.keepRow(runId, index, row),
  };
}

export function evaluationJobs(models: GpuModels, text: TextLink): JobHandlers<EvaluationJobs> {
  return {
    'evaluation.compare': async ({ model, runId, limit, maxNewTokens }, { signal, report }) => {
      const asked = await text.run('prompts.questions', { model, runId, limit }, signal);
      const questions = asked.map(({ ids, ...question }) => ({
        ...question,
        prompt: { kind: 'tokens', ids, opensTurn: true } as const,
      }));
      return models.use({ model, runId }, async () => {
        const onNotice = (message: string) => report({ kind: 'notice', message });
        const speakers = await models.speakers(model, runId, onNotice);
        return models.answering.compare(
          speakers,
          questions,
          maxNewTokens,
          (row) => report({ kind: 'row', row }),
          signal,
        );
      });
    },
  };
}
