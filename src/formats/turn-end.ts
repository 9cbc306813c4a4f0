/** Which token ends an assistant's turn, as its chat template writes one. */
import type { ChatTemplate, Message } from '../core/text';
import type { HubTokenizer } from './tokenizer';

const QUESTION = 'Hello';
const ANSWER = 'Graft';
const NEXT = 'Thanks';

/**
 * The token that ends a turn in what the template puts after an answer, or undefined where it puts none: of several
 * added tokens (`</answer><|im_end|>`) one that the model's configs call an end, else the last before the next message.
 */
export function findTurnEnd(tokenizer: HubTokenizer, template: ChatTemplate): number | undefined {
  const closing = findClosing(tokenizer, template);
  const stops = tokenizer.stopTokenIds;
  return closing.find((id) => stops.includes(id)) ?? closing.findLast((id) => tokenizer.addedTokenIds.has(id));
}

/** The tokens between an answer and the opening of the next message. */
function findClosing(tokenizer: HubTokenizer, template: ChatTemplate): number[] {
  const messages: Message[] = [
    { role: 'user', content: QUESTION },
    { role: 'assistant', content: ANSWER },
  ];
  const encode = (text: string) => tokenizer.encode(text, { addSpecialTokens: false });
  const alone = attempt(template, messages);
  if (!alone?.includes(ANSWER)) return [];
  const ending = encode(alone.slice(alone.lastIndexOf(ANSWER) + ANSWER.length));
  const followed = attempt(template, [...messages, { role: 'user', content: NEXT }]);
  const answerAt = followed?.lastIndexOf(ANSWER) ?? -1;
  const nextAt = followed?.lastIndexOf(NEXT) ?? -1;
  if (followed === undefined || answerAt < 0 || nextAt < answerAt) return ending;
  const between = encode(followed.slice(answerAt + ANSWER.length, nextAt));
  const opening = encode(followed.slice(0, followed.indexOf(QUESTION)));
  let common = 0;
  while (common < between.length && between.at(-1 - common) === opening.at(-1 - common)) common++;
  const closing = between.slice(0, between.length - common);
  // A template that closes a turn only by opening the next one may still end a conversation in its own way.
  return closing.some((id) => tokenizer.addedTokenIds.has(id)) ? closing : ending;
}

/** Undefined for a template of conversations of another kind: training on it will say what it wants. */
function attempt(template: ChatTemplate, messages: readonly Message[]): string | undefined {
  try {
    return template.render({ messages }, { addGenerationPrompt: false });
  } catch {
    return undefined;
  }
}
