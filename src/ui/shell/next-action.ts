/** The one thing to do next, from where the visitor stands. */
import { findRefused } from './obstacle';
import { reveal } from './reveal';
import type { SectionId } from './sections';
import type { Workspace } from './workspace.svelte';

export interface NextAction {
  /** What the button says. */
  label: string;
  /** The section where it happens. */
  section: SectionId;
  /** The same as the large button at the top of the page. */
  quickStart?: boolean;
  run: () => void;
}

/** Undefined where there is nothing to press: the GPU is missing, or everything is still being read. */
export function nextAction(workspace: Workspace): NextAction | undefined {
  const { training, library, device, compare, chat } = workspace;
  if (training.running) return { label: 'Cancel training', section: 'train', run: () => training.cancel() };
  if (!workspace.ready || device.error) return undefined;
  const { record } = training;
  if (record && training.canResume) {
    return { label: 'Resume training', section: 'train', run: () => void workspace.resume(record.id) };
  }
  if (library.usable) {
    const talked = chat.turns.length > 0 || compare.rows.length > 0;
    return talked
      ? { label: 'Download the adapter', section: 'export', run: () => undefined }
      : { label: 'Compare base and tuned', section: 'chat', run: () => undefined };
  }
  const { obstacle } = workspace;
  if (workspace.model.isStarter && workspace.dataset.isBuiltin && !findRefused(workspace.recipe)) {
    return {
      label: 'Train the starter on the policy pairs',
      section: 'train',
      quickStart: true,
      run: () => void workspace.quickStart(),
    };
  }
  if (!obstacle) return { label: 'Start training', section: 'train', run: () => void workspace.start() };
  const { label, section, target } = obstacle;
  return label === undefined ? undefined : { label, section, run: () => reveal(target) };
}
