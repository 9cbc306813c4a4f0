/** What a chat template leaves out of prompts: they are asked without it, and the user should know. */
import type { ChatTemplate, Conversation } from '../../core/text';
import { listRows } from '../../data/left-out';
import { findUnshown } from '../../data/shown';
import { renderConversation } from '../../data/spans';
import type { Prompt } from './prompt-ids';

/** A sentence for each kind of thing that isn't shown, with the prompts that it is left out of, counted from 1. */
export function promptNotices(template: ChatTemplate | undefined, prompts: readonly Prompt[]): string[] {
  if (!template) return [];
  const unshown = new Map<string, number[]>();
  prompts.forEach((prompt, i) => {
    if (prompt.kind !== 'chat') return;
    for (const { what } of findParts(prompt, template)) unshown.set(what, [...(unshown.get(what) ?? []), i + 1]);
  });
  return [...unshown].map(
    ([what, rows]) =>
      `The chat template (${template.source}) doesn't show ${what} of ${listRows(rows)}: the model is asked without it.`,
  );
}

function findParts(conversation: Conversation, template: ChatTemplate) {
  try {
    return findUnshown(renderConversation(conversation, template), template);
  } catch {
    return []; // asking will say what the template refuses
  }
}
