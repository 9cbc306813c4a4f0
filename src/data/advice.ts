/** What a user can set so that a template trains what it is given: only what has been tried on the row itself. */
import type { ChatTemplate, Conversation } from '../core/text';
import type { Dataset, Example } from './dataset';
import type { Findings } from './findings';
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

type Kind = 'cut' | 'context';

/** A sentence for each kind of finding, from the first row that has it. */
export function adviseOn(findings: Findings, dataset: Dataset, options: TokenizeOptions): Record<Kind, string> {
  const find = (row: number | undefined) =>
    row === undefined ? undefined : dataset.examples.find((example) => example.row === row);
  return {
    cut: adviseFor('cut', find(findings.firstCut), options),
    context: adviseFor('context', find(findings.firstContext), options),
  };
}

function adviseFor(kind: Kind, example: Example | undefined, options: TokenizeOptions): string {
  if (example?.kind !== 'conversation' || !options.template) return '';
  const without = (conversation: Conversation, untrained = example.untrained) =>
    isWithout(kind, { ...example, conversation, untrained }, options);
  const { conversation } = example;
  for (const { name, value } of switchesOf(options.template)) {
    if (without({ ...conversation, variables: { ...conversation.variables, [name]: value } })) {
      return `Set chat_template_kwargs: {${name}: ${value}}.`;
    }
  }
  const answers = conversation.messages.flatMap(({ role }, i) => (role === 'assistant' ? [i] : []));
  const ends = answers.map((i) => ({ ...conversation, messages: conversation.messages.slice(0, i + 1) }));
  if (answers.length > 1 && ends.every((part, i) => without(part, answers.slice(0, i)))) {
    return 'Give each answer a row of its own that ends with it, with weight: 0 on the answers before.';
  }
  return 'Set chat_template_path to a template that shows answers as they are asked for.';
}

function switchesOf({ text }: ChatTemplate): { name: string; value: boolean }[] {
  return SWITCHES.filter((name) => text.includes(name)).flatMap((name) => [
    { name, value: false },
    { name, value: true },
  ]);
}

function isWithout(kind: Kind, example: Example, options: TokenizeOptions): boolean {
  try {
    return tokenizeExample(example, options).findings.every((finding) => finding.kind !== kind);
  } catch {
    return false;
  }
}
