/** Whether Ollama, told by a Modelfile, asks a model as Graft does: its prompts, token by token, and what ends an answer. */
import { GraftError } from '../../core/errors';
import type { ChatTemplate, Day, Message } from '../../core/text';
import type { HubTokenizer } from '../tokenizer';
import { showDifference } from './describe-template';
import { renderGoTemplate } from './go-template';
import { DATE_COMMENT, parseModelfile } from './modelfile';
import { stopTexts } from './parameters';
import { sampleConversations } from './template-samples';

export interface AskedByOllama {
  readonly tokenizer: HubTokenizer;
  readonly template: ChatTemplate;
}

/**
 * @param addsBos what the GGUF file says of BOS before a prompt
 * @returns a sentence for each difference
 */
export function compareModelfile(text: string, { tokenizer, template }: AskedByOllama, addsBos: boolean): string[] {
  const instructions = parseModelfile(text, 'Modelfile');
  const valueOf = (name: string) => instructions.findLast((instruction) => instruction.name === name)?.value;
  const findings: string[] = [];
  const written = valueOf('template');
  if (written === undefined) findings.push('The Modelfile has no TEMPLATE.');
  else findings.push(...compareTemplate(written, { tokenizer, template: onWrittenDay(text, template) }, addsBos));
  const stops = instructions.filter(({ name }) => name === 'stop').map(({ value }) => value);
  const missing = stopTexts(tokenizer).filter((stop) => !stops.includes(stop));
  if (missing.length > 0) findings.push(`The Modelfile doesn't end an answer at ${missing.join(', ')}.`);
  return findings;
}

/** The template on the day that the Modelfile was written for. */
function onWrittenDay(text: string, template: ChatTemplate): ChatTemplate {
  const line = text.split('\n').find((comment) => comment.startsWith(`# ${DATE_COMMENT}`));
  return (line && template.onDay?.(line.slice(`# ${DATE_COMMENT}`.length).trim() as Day)) || template;
}

/** The first conversation that is read as other tokens, where there is one. */
function compareTemplate(text: string, { tokenizer, template }: AskedByOllama, addsBos: boolean): string[] {
  const encode = (prompt: string) => tokenizer.encode(prompt, { addSpecialTokens: false });
  const before = addsBos && tokenizer.bosTokenId !== undefined ? [tokenizer.bosTokenId] : [];
  for (const messages of sampleConversations(true)) {
    const own = tryRender(template, messages);
    if (own === undefined) continue;
    const other = renderGoTemplate(text, messages);
    if ([...before, ...encode(other)].join() === encode(own).join()) continue;
    const [bos] = before.length === 0 ? [''] : [tokenizer.specialTokens.bos_token ?? ''];
    return [`By the Modelfile, Ollama asks with ${showDifference(bos + other, own)}.`];
  }
  return [];
}

/** Undefined where the template refuses a conversation, or has no place for its system message. */
function tryRender(template: ChatTemplate, messages: readonly Message[]): string | undefined {
  try {
    return template.render({ messages }, { addGenerationPrompt: true });
  } catch (error) {
    if (error instanceof GraftError) return undefined;
    throw error;
  }
}
