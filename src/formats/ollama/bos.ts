/** BOS before the prompts of conversations: Ollama and llama.cpp put it there by what a GGUF file says. */
import type { ChatTemplate } from '../../core/text';
import type { HubTokenizer } from '../tokenizer';

/**
 * The text of BOS where a file is to say that prompts begin with it (`add_bos_token`): where the tokenizer puts it before
 * texts, and the chat template before conversations. Elsewhere a template that writes BOS writes all there is of it.
 */
export function leadingBos(tokenizer: HubTokenizer, template: ChatTemplate): string | undefined {
  const { bos_token: bos } = tokenizer.specialTokens;
  if (bos === undefined || !tokenizer.addsBos) return undefined;
  const messages = [{ role: 'user', content: 'Hello' }];
  return template.render({ messages }, { addGenerationPrompt: true }).startsWith(bos) ? bos : undefined;
}
