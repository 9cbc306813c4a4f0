/** What a chat template shows of a conversation: a field is shown where the rendering without it is another one. */
import { contentOf, type ChatTemplate, type Conversation, type Message } from '../core/text';
import { showsContent } from './contents';
import type { Rendering } from './spans';

/** Characters that are rendered at most to tell one message's field from another's, for each one of the conversation. */
const RENDERED_PER_CHARACTER = 32;

/** A part of a conversation that its template leaves out. */
export interface Unshown {
  /** `reasoning_content`, `tools`, `the system message`, `enable_thinking`: as a sentence names it. */
  readonly what: string;
  /** Whether the row means something else without it, and can't be trained as it is given. */
  readonly essential: boolean;
}

/** Fields without which a conversation isn't the one that was given. */
const ESSENTIAL: ReadonlySet<string> = new Set(['tools', 'documents', 'tool_calls']);

/** Everything of a conversation that the template doesn't show, each kind once. */
export function findUnshown({ conversation, text, contents }: Rendering, template: ChatTemplate): Unshown[] {
  const unshown = new Set<string>();
  const renders = (changed: Conversation) => renderOrFail(changed, template) !== text;
  for (const key of ['tools', 'documents'] as const) {
    const list = conversation[key];
    if (list && list.length > 0 && !renders(omit(conversation, key))) unshown.add(key);
  }
  for (const name of findUnshownVariables(conversation, template)) unshown.add(name);
  for (const name of fieldNames(conversation.messages)) {
    const places = conversation.messages.flatMap((message, i) => (isGiven(message[name]) ? [i] : []));
    if (hidesAny(name, places, conversation, text, template)) unshown.add(name);
  }
  for (const role of findUnshownRoles({ conversation, text, contents }, renders)) unshown.add(`the ${role} message`);
  return [...unshown].map((what) => ({ what, essential: ESSENTIAL.has(what) }));
}

/** Roles with a message that isn't shown as it is. Answers are looked for where they are trained. */
function findUnshownRoles(
  { conversation: { messages, ...rest }, text, contents }: Rendering,
  renders: (changed: Conversation) => boolean,
): Set<string> {
  const unshown = new Set<string>();
  let left = RENDERED_PER_CHARACTER;
  messages.forEach((message, i) => {
    const { role } = message;
    const content = contentOf(message).trim();
    if (content === '' || role === 'assistant' || unshown.has(role)) return;
    const { start, end } = contents[i] ?? {};
    if (start !== undefined && end !== undefined && start <= end) {
      if (!showsContent(text.slice(start, end), content)) unshown.add(role);
      return;
    }
    // What another message says too may be shown there alone.
    const emptied = () => messages.map((other, at) => (at === i ? { ...other, content: '' } : other));
    if (left-- > 0 && (!showsContent(text, content) || !renders({ ...rest, messages: emptied() }))) unshown.add(role);
  });
  return unshown;
}

/** Template variables that change neither the conversation nor the prompt of its last answer. */
function findUnshownVariables(conversation: Conversation, template: ChatTemplate): string[] {
  const { variables = {}, messages } = conversation;
  const lastAnswer = messages.findLastIndex(({ role }) => role === 'assistant');
  const prompt = { ...conversation, messages: messages.slice(0, lastAnswer < 0 ? messages.length : lastAnswer) };
  return Object.keys(variables).filter((name) => {
    if (!template.text.includes(name)) return true;
    const rest = omit(variables, name);
    return [
      { given: conversation, addGenerationPrompt: false },
      { given: prompt, addGenerationPrompt: true },
    ].every(
      ({ given, addGenerationPrompt }) =>
        renderOrFail(given, template, addGenerationPrompt) ===
        renderOrFail({ ...given, variables: rest }, template, addGenerationPrompt),
    );
  });
}

/** The rendering, or undefined where the template refuses: a refusal differs from every rendering. */
function renderOrFail(conversation: Conversation, template: ChatTemplate, addGenerationPrompt = false) {
  try {
    return template.render(conversation, { addGenerationPrompt });
  } catch {
    return undefined;
  }
}

/** Fields of messages beside role and content. */
function fieldNames(messages: readonly Message[]): string[] {
  const names = new Set(messages.flatMap((message) => Object.keys(message).filter((name) => isGiven(message[name]))));
  names.delete('role');
  names.delete('content');
  return [...names];
}

function omit<T extends object>(object: T, key: string): T {
  return Object.fromEntries(Object.entries(object).filter(([name]) => name !== key)) as T;
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null && value !== '' && !(Array.isArray(value) && value.length === 0);
}

/**
 * Whether the template hides the field of any of these messages. Halves are tried apart as long as taking both away
 * makes a difference, within a limit that keeps the work linear in the conversation.
 */
function hidesAny(
  name: string,
  places: readonly number[],
  conversation: Conversation,
  text: string,
  template: ChatTemplate,
): boolean {
  let left = RENDERED_PER_CHARACTER * (text.length + 1000);
  const hides = (group: readonly number[]): boolean => {
    const chosen = new Set(group);
    const messages = conversation.messages.map((message, i) => (chosen.has(i) ? omit(message, name) : message));
    left -= text.length;
    if (renderOrFail({ ...conversation, messages }, template) === text) return true;
    if (group.length === 1 || left <= 0) return false;
    const middle = group.length >> 1;
    return hides(group.slice(0, middle)) || hides(group.slice(middle));
  };
  return hides(places);
}
