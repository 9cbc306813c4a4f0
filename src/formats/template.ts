/** Chat templates: the model's own, or an Alpaca-style one where it has none. */
import { GraftError } from '../core/errors';
import type { FileSource } from '../core/store';
import type { ChatTemplate, Conversation, Day } from '../core/text';
import { JinjaTemplate } from './jinja';
import { isPlainObject, readObject, readText } from './json';
import type { HubTokenizer, SpecialTokens } from './tokenizer';

const TEMPLATE_FILE = 'chat_template.jinja';
const CONFIG_FILE = 'tokenizer_config.json';

/** Real templates have a few thousand characters. */
const MAX_TEMPLATE_LENGTH = 1_000_000;

/**
 * The prompt layout of Stanford Alpaca for any number of turns: a system message replaces the opening sentence, and
 * every answer ends with the tokenizer's eos token.
 */
export const ALPACA_TEMPLATE = `{%- set ns = namespace(opening='Below is an instruction that describes a task. Write a response that appropriately completes the request.') %}
{%- for message in messages if message['role'] == 'system' %}{% set ns.opening = message['content'] %}{% endfor %}
{{- opening_bos }}{{ ns.opening }}
{%- for message in messages %}
{%- if message['role'] == 'assistant' %}{{ '\\n\\n### Response:\\n' + message['content'] + eos_token }}
{%- elif message['role'] != 'system' %}{{ '\\n\\n### Instruction:\\n' + message['content'] }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '\\n\\n### Response:\\n' }}{% endif %}`;

/**
 * The chat template of a model folder. `chat_template.jinja` wins over `tokenizer_config.json`, as in Transformers;
 * of several named ones `default` is taken (`additional_chat_templates/` has the others and is left alone). A template
 * that prints a date prints today's, unless `onDay` gives it another.
 * @throws `bad-config` for a template that can't be compiled.
 */
export async function openTemplate(source: FileSource, tokenizer: HubTokenizer): Promise<ChatTemplate> {
  const file = await readText(source, TEMPLATE_FILE);
  if (file !== undefined) return chatTemplate(TEMPLATE_FILE, file, tokenizer.specialTokens);
  const configured = (await readObject(source, CONFIG_FILE))?.get('chat_template');
  const text = Array.isArray(configured) ? defaultTemplate(configured) : configured;
  if (typeof text === 'string') return chatTemplate(CONFIG_FILE, text, tokenizer.specialTokens);
  if (text !== undefined) {
    throw new GraftError(
      'bad-config',
      `${CONFIG_FILE} of ${source.name}: chat_template is neither text nor a list with a default.`,
    );
  }
  return alpacaTemplate(tokenizer);
}

function defaultTemplate(named: readonly unknown[]): unknown {
  const entry = named.find((item) => isPlainObject(item) && item['name'] === 'default');
  return isPlainObject(entry) ? entry['template'] : null;
}

/** The fallback for a model without a template; it starts with BOS where the tokenizer itself does. */
export function alpacaTemplate(tokenizer: Pick<HubTokenizer, 'specialTokens' | 'addsBos'>): ChatTemplate {
  const opening = tokenizer.addsBos ? tokenizer.specialTokens.bos_token : '';
  return chatTemplate('alpaca', ALPACA_TEMPLATE, { eos_token: '', ...tokenizer.specialTokens, opening_bos: opening });
}

/** Compiles `text`; `source` is what messages and reports call it. */
export function chatTemplate(
  source: string,
  text: string,
  tokens: SpecialTokens & { readonly opening_bos?: string | undefined },
): ChatTemplate {
  if (text.length > MAX_TEMPLATE_LENGTH)
    throw new GraftError('bad-config', `The chat template in ${source} is too long to be one.`);
  const template = attempt(`The chat template in ${source} can't be compiled`, () => new JinjaTemplate(text));
  const refused = `The chat template in ${source} refused the conversation`;
  // What Transformers' apply_chat_template gives a template.
  const scope = (conversation: Conversation, addGenerationPrompt: boolean) => ({
    ...tokens,
    ...conversation.variables,
    messages: conversation.messages,
    tools: conversation.tools ?? null,
    documents: conversation.documents ?? null,
    add_generation_prompt: addGenerationPrompt,
  });
  const on = (now: () => Date): ChatTemplate => ({
    source,
    text,
    render: (conversation, { addGenerationPrompt }) =>
      attempt(refused, () => template.render(scope(conversation, addGenerationPrompt), now())),
    ...(template.marksGeneration && {
      generationSpans: (conversation: Conversation) =>
        attempt(refused, () => template.generationSpans(scope(conversation, false), now())),
    }),
    ...(template.readsClock && { onDay: (day: Day) => on(() => noon(day)) }),
  });
  return on(() => new Date());
}

function noon(day: Day): Date {
  const [year = 0, month = 1, date = 1] = day.split('-').map(Number);
  return new Date(year, month - 1, date, 12);
}

function attempt<T>(what: string, action: () => T): T {
  try {
    return action();
  } catch (cause) {
    throw new GraftError('bad-config', `${what}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}
