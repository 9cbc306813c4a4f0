/** Chat templates: the model's own, or an Alpaca-style one where it has none. */
import { ExhaustedError, GraftError } from '../core/errors';
import type { FileSource } from '../core/store';
import type { ChatTemplate, Conversation, Day, Message } from '../core/text';
import { JinjaError, JinjaTemplate } from './jinja';
import { isPlainObject, readObject, readText } from './json';
import type { HubTokenizer, SpecialTokens } from './tokenizer';

const TEMPLATE_FILE = 'chat_template.jinja';
/** Where Transformers keeps a template for conversations with tools beside the other. */
const TOOL_TEMPLATE_FILE = 'additional_chat_templates/tool_use.jinja';
const CONFIG_FILE = 'tokenizer_config.json';
const LEGACY_FILE = 'chat_template.json';

/** The named template for conversations with tools. */
const TOOL_USE = 'tool_use';

/** What a template gets by these names isn't a variable that can be set. */
const OWN_VARIABLES = ['messages', 'tools', 'documents', 'add_generation_prompt'] as const;

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
 * The chat template of a model folder. `chat_template.jinja` wins over `tokenizer_config.json`, as in Transformers, and
 * both over `chat_template.json`, where processors used to keep theirs. Of several named ones a conversation with tools
 * takes `tool_use`, any other `default`. A template that prints a date prints today's, unless `onDay` gives it another.
 * @throws `bad-config` for a template that can't be compiled.
 */
export async function openTemplate(source: FileSource, tokenizer: HubTokenizer): Promise<ChatTemplate> {
  const found = await readTemplates(source);
  if (!found) return alpacaTemplate(tokenizer);
  const { file, named } = found;
  const compile = (name: string, text: string) => chatTemplate(name, text, tokenizer.specialTokens);
  const text = named.get('default');
  if (text === undefined) {
    throw new GraftError(
      'bad-config',
      `${file} of ${source.name}: chat_template is neither text nor a list with a default.`,
    );
  }
  const forTools = named.get(TOOL_USE);
  const template = compile(file, text);
  return forTools === undefined ? template : withToolTemplate(template, compile(`${file} (${TOOL_USE})`, forTools));
}

/** The templates of a folder by name, and the file that has them; undefined where it has none. */
async function readTemplates(
  source: FileSource,
): Promise<{ file: string; named: ReadonlyMap<string, string> } | undefined> {
  const text = await readText(source, TEMPLATE_FILE);
  const forTools = await readText(source, TOOL_TEMPLATE_FILE);
  if (text !== undefined) {
    return { file: TEMPLATE_FILE, named: new Map([['default', text], ...entry(TOOL_USE, forTools)]) };
  }
  for (const file of [CONFIG_FILE, LEGACY_FILE]) {
    const configured = (await readObject(source, file))?.get('chat_template');
    if (configured === undefined) continue;
    const templates = typeof configured === 'string' ? entry('default', configured) : listedTemplates(configured);
    return { file, named: new Map([...templates, ...entry(TOOL_USE, forTools)]) };
  }
  return undefined;
}

function entry(name: string, text: string | undefined): [string, string][] {
  return text === undefined ? [] : [[name, text]];
}

/** `[{name, template}, …]`, or an object that has templates by name. */
function listedTemplates(configured: unknown): [string, string][] {
  if (isPlainObject(configured)) {
    return Object.entries(configured).flatMap(([name, text]) => (typeof text === 'string' ? entry(name, text) : []));
  }
  if (!Array.isArray(configured)) return [];
  return configured.flatMap((item: unknown) => {
    if (!isPlainObject(item)) return [];
    const { name, template } = item;
    return typeof name === 'string' && typeof template === 'string' ? entry(name, template) : [];
  });
}

/** `template`, but for conversations with tools. */
function withToolTemplate(template: ChatTemplate, toolTemplate: ChatTemplate): ChatTemplate {
  const choose = ({ tools }: Conversation) => (tools === undefined ? template : toolTemplate);
  const { source, text } = template;
  return {
    source,
    text,
    render: (conversation, options) => choose(conversation).render(conversation, options),
    // Where only one says what is generated, neither is asked: the turns are told apart by rendering.
    ...(template.generationSpans &&
      toolTemplate.generationSpans && {
        generationSpans: (conversation: Conversation) => choose(conversation).generationSpans?.(conversation) ?? [],
      }),
    ...((template.onDay ?? toolTemplate.onDay) && {
      onDay: (day: Day) =>
        withToolTemplate(template.onDay?.(day) ?? template, toolTemplate.onDay?.(day) ?? toolTemplate),
    }),
  };
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
  const stopped = `The chat template in ${source} was stopped while it rendered the conversation`;
  const knowsDevelopers = text.includes('developer');
  // What Transformers' apply_chat_template gives a template: its variables may replace the special tokens.
  const scope = (conversation: Conversation, addGenerationPrompt: boolean, asGiven = knowsDevelopers) => {
    refuseOwnVariables(conversation);
    return {
      ...tokens,
      ...conversation.variables,
      messages: asGiven ? conversation.messages : conversation.messages.map(developerAsSystem),
      tools: conversation.tools ?? null,
      documents: conversation.documents ?? null,
      add_generation_prompt: addGenerationPrompt,
    };
  };
  const on = (now: () => Date): ChatTemplate => ({
    source,
    text,
    render: (conversation, { addGenerationPrompt, asGiven }) =>
      attempt(refused, () => template.render(scope(conversation, addGenerationPrompt, asGiven), now()), stopped),
    ...(template.marksGeneration && {
      generationSpans: (conversation: Conversation) =>
        attempt(refused, () => template.generationSpans(scope(conversation, false), now()), stopped),
    }),
    ...(template.readsClock && { onDay: (day: Day) => on(() => noon(day)) }),
  });
  return on(() => new Date());
}

function refuseOwnVariables({ variables = {} }: Conversation): void {
  const name = OWN_VARIABLES.find((own) => Object.hasOwn(variables, own));
  if (name === undefined) return;
  throw new GraftError(
    'bad-config',
    `chat_template_kwargs can't set ${name}, which the template gets from the conversation: take it out.`,
  );
}

/** OpenAI's newer name for the system's role, as a template that doesn't know it wants it. */
function developerAsSystem(message: Message): Message {
  return message.role === 'developer' ? { ...message, role: 'system' } : message;
}

function noon(day: Day): Date {
  const [year = 0, month = 1, date = 1] = day.split('-').map(Number);
  return new Date(year, month - 1, date, 12);
}

/** `stopped` begins the sentence where the template used up what a rendering may take. */
function attempt<T>(what: string, action: () => T, stopped = what): T {
  try {
    return action();
  } catch (cause) {
    if (cause instanceof GraftError) throw cause;
    if (cause instanceof JinjaError && cause.exhausted) {
      throw new ExhaustedError(`${stopped}: ${cause.describe()}. Use another template.`, { cause });
    }
    const reason =
      cause instanceof JinjaError ? cause.describe() : cause instanceof Error ? cause.message : String(cause);
    throw new GraftError('bad-config', `${what}: ${reason}`, { cause });
  }
}
