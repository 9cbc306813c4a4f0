/** What llama.cpp's server has to be told so that it asks a model as Graft does. */
import type { RunConfig } from '../core/config';
import type { HubModel } from '../formats/model';
import { beginsWithBos } from '../formats/ollama';

/**
 * Options of llama-server, which puts BOS before every prompt where the file says so, and knows no variables of a run.
 * @param asked the model, asked through the chat template that the file has
 */
export function serverOptions(
  { tokenizer, template }: Pick<HubModel, 'tokenizer' | 'template'>,
  run: Pick<RunConfig, 'chat_template_kwargs'> | undefined,
): string[] {
  const isUnasked = tokenizer?.addsBos && template && beginsWithBos(tokenizer, template) === false;
  const variables = run?.chat_template_kwargs;
  return [
    ...(isUnasked ? ['--override-kv', 'tokenizer.ggml.add_bos_token=bool:false'] : []),
    ...(variables ? ['--chat-template-kwargs', JSON.stringify(variables)] : []),
  ];
}
