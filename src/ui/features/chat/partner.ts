/** Who a conversation is with: the run in training where it answers, else the run that is open, else the base model. */
import type { Workspace } from '../../shell/workspace.svelte';
import type { Partner } from './chat.svelte';

/** Undefined where nobody can answer: the GPU trains without room for a chat, or a model is not open. */
export function partnerOf(workspace: Workspace): Partner | undefined {
  const { training, library, model } = workspace;
  const storage = workspace.recipe.config;
  const record = training.running ? training.voices && training.record : library.usable?.record;
  if (record) {
    const ref = model.refOf(record.model);
    const [voices, step] = training.running
      ? [training.voices ?? [], training.last?.step ?? 0]
      : [['base', 'tuned'] as const];
    return ref ? { model: ref, runId: record.id, storage, voices, step } : undefined;
  }
  if (training.running || !model.report) return undefined;
  return { model: model.report.ref, runId: null, storage, voices: ['base'] };
}
