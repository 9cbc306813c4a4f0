/** What a user can set so that a template trains what it is given: only what has been tried on rows of the file. */
import type { ChatTemplate } from '../core/text';
import type { Dataset, Example } from './dataset';
import type { Advisable, Findings } from './findings';
import { tokenizeExample, type TokenizeOptions } from './tokenize-example';

/** Variables by which published templates keep or leave out thoughts. */
const SWITCHES = [
  'enable_thinking',
  'thinking',
  'preserve_thinking',
  'keep_thinking',
  'clear_thinking',
  'truncate_history_thinking',
  'keep_all_reasoning',
];

/** Advice is tried on so many rows, and on so many answers of each, where they have the finding already. */
const TRIED_ROWS = 3;
const TRIED_ANSWERS = 6;

type ConversationExample = Extract<Example, { kind: 'conversation' }>;

/** A sentence for each kind of finding, which helps the first rows that have it. */
export function adviseOn(findings: Findings, dataset: Dataset, options: TokenizeOptions): Record<Advisable, string> {
  const advise = (kind: Advisable): string => {
    const rows = findings.rowsOf(kind).slice(0, TRIED_ROWS);
    if (rows.length === 0 || !options.template) return SET_TEMPLATE[kind];
    const examples = rows.flatMap((row) => dataset.examples.find((example) => example.row === row) ?? []);
    const conversations = examples
      .filter((example) => example.kind === 'conversation')
      .map((example) => shorten(example, kind, options));
    return adviseFor(kind, conversations, options.template, options) ?? SET_TEMPLATE[kind];
  };
  return { cut: advise('cut'), context: advise('context'), open: advise('open') };
}

/** What always helps. */
const SET_TEMPLATE: Readonly<Record<Advisable, string>> = {
  cut: 'Set chat_template_path to a template that shows answers whole.',
  context: 'Set chat_template_path to a template that shows answers as they are asked for.',
  open: 'Set chat_template_path to a template that puts such a token after every answer.',
};

function adviseFor(
  kind: Advisable,
  examples: readonly ConversationExample[],
  template: ChatTemplate,
  options: TokenizeOptions,
): string | undefined {
  const helps = (change: (example: ConversationExample) => ConversationExample[]) =>
    examples.every((example) => {
      const allowed = kindsOf(example, options)?.filter((had) => had !== kind) ?? [];
      return change(example).every((changed) => kindsOf(changed, options)?.every((left) => allowed.includes(left)));
    });
  for (const { name, value } of switchesOf(template)) {
    if (helps((example) => [withVariable(example, name, value)]))
      return `Set chat_template_kwargs: {${name}: ${value}}.`;
  }
  if (examples.some((example) => answersOf(example).length > 1) && helps(oneRowPerAnswer)) {
    return 'Give each answer a row of its own that ends with it, with weight: 0 on the answers before.';
  }
  return undefined;
}

/** The first answers of a long conversation, where they have the finding. */
function shorten(example: ConversationExample, kind: Advisable, options: TokenizeOptions): ConversationExample {
  const { conversation } = example;
  const end = answersOf(example)[TRIED_ANSWERS - 1];
  if (end === undefined) return example;
  const short = { ...example, conversation: { ...conversation, messages: conversation.messages.slice(0, end + 1) } };
  return kindsOf(short, options)?.includes(kind) ? short : example;
}

function withVariable(example: ConversationExample, name: string, value: boolean): ConversationExample {
  const { conversation } = example;
  return { ...example, conversation: { ...conversation, variables: { ...conversation.variables, [name]: value } } };
}

/** The rows of the first answers and of the last. */
function oneRowPerAnswer(example: ConversationExample): ConversationExample[] {
  const { conversation } = example;
  const answers = answersOf(example);
  const tried = answers.length > TRIED_ANSWERS ? [...answers.slice(0, TRIED_ANSWERS - 1), answers.at(-1)!] : answers;
  return tried.map((answer) => ({
    ...example,
    conversation: { ...conversation, messages: conversation.messages.slice(0, answer + 1) },
    untrained: conversation.messages.flatMap(({ role }, i) => (role === 'assistant' && i < answer ? [i] : [])),
  }));
}

function answersOf({ conversation, untrained }: ConversationExample): number[] {
  return conversation.messages.flatMap(({ role }, i) => (role === 'assistant' && !untrained.includes(i) ? [i] : []));
}

function switchesOf({ text }: ChatTemplate): { name: string; value: boolean }[] {
  return SWITCHES.filter((name) => text.includes(name)).flatMap((name) => [
    { name, value: false },
    { name, value: true },
  ]);
}

/** What there is to say of a row's answers; undefined where it can't be used. */
function kindsOf(example: ConversationExample, options: TokenizeOptions): string[] | undefined {
  try {
    const { findings } = tokenizeExample(example, options);
    return findings.map((finding) => (finding.kind === 'unshown' ? finding.what : finding.kind));
  } catch {
    return undefined;
  }
}
