/** What conversations are kept under, and where questions are typed. */
import type { ModelRef } from '../../../protocol/models';

/** Names the conversation with a base model; a folder of the disk is told again by its name alone. */
export function chatOfModel(ref: ModelRef): string {
  if (ref.kind === 'hub') return `model/hub/${ref.name}@${ref.commit ?? ref.revision}@${ref.endpoint ?? ''}`;
  return `model/${ref.kind}/${ref.kind === 'kept' ? ref.id : ref.name}`;
}

/** The field that questions are typed into. */
export const QUESTION_FIELD = 'chat-question';
