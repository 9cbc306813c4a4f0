/** Conversations on which a chat template and Ollama's have to agree, and those on which they may not, which is said. */
import { GraftError } from '../../core/errors';
import type { ChatTemplate, Message } from '../../core/text';
import { renderGoTemplate } from './go-template';

const RULES = 'Answer from the policy alone; be brief, and say "I don\'t know" where it is silent.';
const QUESTIONS = [
  'How much is a title fee?',
  "It's  wrong on my letter.\n\nWhat now? 日本語 🙂",
  'And {{ .Content }} or """ in a text?',
  'Thanks. Is that all?',
];
const ANSWERS = ['Ten dollars.', '1. Write to us.\n2. Wait two weeks.', 'Those are characters like any others.'];

/** Conversations of one to four questions that wait for an answer, each with a system message too. */
export function sampleConversations(withSystem: boolean): Message[][] {
  return QUESTIONS.flatMap((_, count) => {
    const turns = QUESTIONS.slice(0, count + 1).flatMap((question, turn): Message[] => [
      ...(turn === 0 ? [] : [{ role: 'assistant', content: ANSWERS[turn - 1]! }]),
      { role: 'user', content: question },
    ]);
    return withSystem ? [turns, [{ role: 'system', content: RULES }, ...turns]] : [turns];
  });
}

/** Messages that some templates change, and how a sentence says so. */
const CHANGED: readonly (readonly [(role: string, content: string) => string, string])[] = [
  [
    (_role, content) => ` ${content}\n`,
    'The chat template takes white space off the ends of messages; Ollama gives them to the model as they are.',
  ],
  [
    (role, content) => (role === 'assistant' ? `<think>\nLet me see.\n</think>\n\n${content}` : content),
    'The chat template leaves the reasoning (<think>) out of earlier answers; in Ollama it stays, where a client sends it back.',
  ],
  [
    (role, content) => (role === 'system' ? `${content}\n/no_think` : content),
    'The chat template takes /think and /no_think in a system message for a switch; in Ollama they are text.',
  ],
];

/** What Ollama's template writes otherwise than the model's own, a sentence each. */
export function differencesOf(
  template: ChatTemplate,
  text: string,
  leadingBos: string | undefined,
  showsSystem: boolean,
): string[] {
  const differs = (messages: readonly Message[]) => {
    const own = tryRender(template, messages);
    return own !== undefined && own !== `${leadingBos ?? ''}${renderGoTemplate(text, messages)}`;
  };
  const longest = sampleConversations(showsSystem).at(-1)!;
  const notices = CHANGED.filter(([change]) =>
    differs(longest.map(({ role, content }) => ({ role, content: change(role, content!) }))),
  ).map(([, sentence]) => sentence);
  if (!showsSystem) notices.push('The chat template has no place for a system message: in Ollama one changes nothing.');
  if (rendersTools(template)) {
    notices.push(
      'The TEMPLATE has no tools; an Ollama that reads chat templates itself (2026 and later) may offer them.',
    );
  }
  if (template.onDay) notices.push('The chat template prints the date; in Ollama it stays that of the export.');
  return notices;
}

const TOOL = {
  type: 'function',
  function: { name: 'graft_tool', description: 'Looks a fee up.', parameters: { type: 'object', properties: {} } },
};

function rendersTools(template: ChatTemplate): boolean {
  const messages = [{ role: 'user', content: QUESTIONS[0]! }];
  return tryRender(template, messages, [TOOL])?.includes('graft_tool') ?? false;
}

/** Undefined where the template refuses the conversation. */
function tryRender(
  template: ChatTemplate,
  messages: readonly Message[],
  tools?: readonly unknown[],
): string | undefined {
  try {
    return template.render({ messages, ...(tools && { tools }) }, { addGenerationPrompt: true });
  } catch (error) {
    if (error instanceof GraftError) return undefined;
    throw error;
  }
}
