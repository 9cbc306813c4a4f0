/** A model in GGUF files as Ollama takes it: the Modelfile that stands beside them. */
import type { ChatTemplate, Day } from '../../core/text';
import type { HubTokenizer } from '../tokenizer';
import { leadingBos } from './bos';
import { describeTemplate } from './describe-template';
import { DATE_COMMENT, parameter, writeModelfile } from './modelfile';
import { describeParameters, type AnsweringOptions } from './parameters';

export { beginsWithBos, leadingBos } from './bos';
export { compareModelfile } from './compare';
export { parseModelfile, type Instruction } from './modelfile';

export interface ModelfileRequest extends AnsweringOptions {
  /** Name of the GGUF file beside it. */
  readonly model: string;
  /** Name of the GGUF file of an adapter that Ollama is to apply. */
  readonly adapter?: string | undefined;
  readonly tokenizer: HubTokenizer;
  readonly template: ChatTemplate;
  /** Said before a conversation that brings no system message of its own. */
  readonly system?: string | undefined;
  /** What a template prints that prints the date. */
  readonly day: Day;
}

export interface DescribedModelfile {
  readonly text: string;
  /** What Ollama makes otherwise, a sentence each. */
  readonly notices: readonly string[];
}

/**
 * The Modelfile, derived from the model's chat template.
 * @throws `unsupported` with what of the template Ollama's can't do, and for a system message that a Modelfile can't hold
 */
export function describeModelfile(request: ModelfileRequest): DescribedModelfile {
  const { model, adapter, tokenizer, template, system, day } = request;
  const described = describeTemplate(template.onDay?.(day) ?? template, leadingBos(tokenizer, template));
  const text = writeModelfile({
    comments: [
      'Written by Graft. To make the model: ollama create NAME -f Modelfile',
      ...(template.onDay ? [`${DATE_COMMENT}${day}`] : []),
    ],
    instructions: [
      parameter('from', `./${model}`),
      ...(adapter === undefined ? [] : [parameter('adapter', `./${adapter}`)]),
      parameter('template', described.text),
      ...(system === undefined ? [] : [parameter('system', system)]),
      ...describeParameters(request),
    ],
  });
  return { text, notices: described.notices };
}
