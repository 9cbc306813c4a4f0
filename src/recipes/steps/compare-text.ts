/** Whether an exported file reads and ends texts as its model does: tokens, special tokens, chat template. */
import type { Conversation } from '../../core/text';
import type { AskedModel } from '../../formats/asked-model';
import type { HubTokenizer } from '../../formats/tokenizer';

/** Texts with what tokenizers differ in: numbers, contractions, spaces, line ends, letters of several scripts. */
const TEXTS = [
  'Once upon a time there were 12345 birds.',
  "It's  we'll\n\nnaïve: 日本語 🙂\t(a+b)==3.14",
  'SELECT * FROM t;\r\n\r\nA\u00a0B',
];

const CONVERSATIONS: readonly Conversation[] = [
  { messages: [{ role: 'user', content: 'Hello' }] },
  {
    messages: [
      { role: 'user', content: 'What is 2+2?' },
      { role: 'assistant', content: 'Four.' },
      { role: 'user', content: 'And 3+3?' },
    ],
  },
  {
    messages: [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hello' },
      { role: 'assistant', content: 'Hi.' },
    ],
  },
];

export interface TextComparison {
  /** A sentence for each difference. */
  readonly findings: readonly string[];
  /** What is otherwise, but as the format has it. */
  readonly notices: readonly string[];
}

/** @param bosOfConversations whether texts that are no conversations may lack the BOS that the model's tokenizer begins them with */
export function compareText(
  { tokenizer, template }: AskedModel,
  exported: AskedModel,
  bosOfConversations = false,
): TextComparison {
  if (!tokenizer) return { findings: [], notices: [] };
  if (!exported.tokenizer) return { findings: ['The file has no tokenizer, and the model has one.'], notices: [] };
  const tokens = compareTokens(tokenizer, exported.tokenizer, bosOfConversations);
  // The fallback for models without a template is Graft's own, and in no file.
  const isAsked = template?.source !== 'alpaca' || exported.template?.source !== 'alpaca';
  return {
    findings: [
      ...compareSpecialTokens(tokenizer, exported.tokenizer),
      ...tokens.findings,
      ...(isAsked ? compareTemplates({ tokenizer, template }, exported) : []),
    ],
    notices: tokens.notices,
  };
}

function compareSpecialTokens(model: HubTokenizer, exported: HubTokenizer): string[] {
  const named = (tokenizer: HubTokenizer) => ({
    'The beginning of a text': tokenizer.bosTokenId,
    'The end of a text': tokenizer.eosTokenId,
    'What ends an answer': [...tokenizer.stopTokenIds].sort((a, b) => a - b).join(', '),
  });
  const [own, other] = [named(model), named(exported)];
  return (Object.keys(own) as (keyof typeof own)[])
    .filter((what) => own[what] !== other[what])
    .map((what) => `${what} is ${other[what] || 'no token'} in the file, and ${own[what] || 'no token'} in the model.`);
}

function compareTokens(model: HubTokenizer, exported: HubTokenizer, bosOfConversations: boolean): TextComparison {
  const notices = new Set<string>();
  for (const addSpecialTokens of [true, false]) {
    for (const text of TEXTS) {
      const [whole, other] = [model, exported].map((tokenizer) => tokenizer.encode(text, { addSpecialTokens }));
      const lacksBos = bosOfConversations && addSpecialTokens && model.addsBos && !exported.addsBos;
      const own = lacksBos ? whole!.slice(1) : whole!;
      if (own.join() === other!.join()) continue;
      if (own.join() === exported.encode(` ${text}`, { addSpecialTokens }).join()) {
        notices.add(
          "A text that is no conversation is read without the space that the model's tokenizer puts before it.",
        );
        continue;
      }
      const what = addSpecialTokens ? 'special tokens included' : 'special tokens aside';
      const finding = `The file reads ${JSON.stringify(text)} as other tokens than the model, ${what}: [${shown(other!)}] instead of [${shown(own)}].`;
      return { findings: [finding], notices: [] };
    }
  }
  return { findings: [], notices: [...notices] };
}

function shown(ids: readonly number[]): string {
  return ids.length > 12 ? `${ids.slice(0, 12).join(', ')}, …` : ids.join(', ');
}

function compareTemplates(model: AskedModel, exported: AskedModel): string[] {
  for (const conversation of CONVERSATIONS) {
    for (const addGenerationPrompt of [true, false]) {
      const [own, other] = [model, exported].map((asked) => render(asked, conversation, addGenerationPrompt));
      if (own!.text !== other!.text) {
        return [
          `The file's chat template writes ${JSON.stringify(other!.text)} where the model's writes ${JSON.stringify(own!.text)}.`,
        ];
      }
      if (own!.ids !== other!.ids) {
        return [
          `The file reads a conversation as other tokens than the model: [${other!.ids}] instead of [${own!.ids}].`,
        ];
      }
    }
  }
  return [];
}

/** A conversation as text and as ids; what a template refuses, both should. */
function render(
  { tokenizer, template }: AskedModel,
  conversation: Conversation,
  addGenerationPrompt: boolean,
): { text: string; ids: string } {
  try {
    const text = template!.render(conversation, { addGenerationPrompt });
    return { text, ids: tokenizer!.encode(text, { addSpecialTokens: false }).join(', ') };
  } catch {
    return { text: 'nothing, but a complaint', ids: '' };
  }
}
