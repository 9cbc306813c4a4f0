/** Chat templates that belong to what was trained: written beside it, and used again where they lie there. */
import type { FileSource } from '../core/store';
import type { ChatTemplate } from '../core/text';
import { askThrough, type AskedModel } from './asked-model';
import { openTemplate } from './template';
import type { HubTokenizer } from './tokenizer';

export const TEMPLATE_FILE = 'chat_template.jinja';

/**
 * The model asked through the chat template that lies in the folder of its adapter: the one that the adapter was trained
 * with. Without one there, the model as it is.
 * @throws `bad-config` for a template that can't be compiled
 */
export async function withTemplateOf<M extends AskedModel>(model: M, folder: FileSource): Promise<M> {
  const { tokenizer } = model;
  if (!tokenizer) return model;
  const template = await openTemplate(folder, tokenizer);
  return template.source === 'alpaca' ? model : askThrough(model, template);
}

/**
 * The text for `chat_template.jinja` where a folder with the files of `base` would otherwise be asked in another way than
 * `model`; undefined where base's own template is the model's, or there is none.
 */
export async function templateToSave(
  base: FileSource,
  { tokenizer, template }: AskedModel,
): Promise<string | undefined> {
  if (!tokenizer || !template) return undefined;
  if (template.source === 'alpaca') return alpacaText(template, tokenizer);
  const own = await openTemplate(base, tokenizer);
  return own.source !== 'alpaca' && own.text === template.text ? undefined : template.text;
}

/** The fallback with what it takes from the tokenizer written out: other programs don't give it the same variables. */
function alpacaText(template: ChatTemplate, tokenizer: HubTokenizer): string {
  const { bos_token = '', eos_token = '' } = tokenizer.specialTokens;
  const variables = { opening_bos: tokenizer.addsBos ? bos_token : '', eos_token };
  const lines = Object.entries(variables).map(([name, text]) => `{%- set ${name} = ${JSON.stringify(text)} %}\n`);
  return lines.join('') + template.text;
}
