/** Who a conversation is with: the run in training where it answers, a run that is over, or a base model alone. */
import { canGoOn, type RunRecord } from '../../../core/library';
import type { Workspace } from '../../shell/workspace.svelte';
import type { Partner } from './chat.svelte';

/**
 * Of a run, or of the open model where there is none. Undefined where nobody can answer: the GPU trains without room for a
 * chat, or trains another run, or a model is not open.
 */
export function partnerOf({ training, draft }: Workspace, run: RunRecord | undefined): Partner | undefined {
  const storage = draft.recipe.config;
  if (run) {
    const model = draft.model.refOf(run.model);
    if (!model) return undefined;
    if (!training.running) {
      // Of a run that was stopped, its last checkpoint answers.
      const step = canGoOn(run) ? run.checkpointStep : undefined;
      return { model, runId: run.id, storage, voices: ['base', 'tuned'], step };
    }
    if (training.record?.id !== run.id || !training.voices) return undefined;
    return { model, runId: run.id, storage, voices: training.voices, step: training.last?.step ?? 0 };
  }
  const { report } = draft.model;
  if (training.running || !report) return undefined;
  return { model: report.ref, runId: null, storage, voices: ['base'] };
}
