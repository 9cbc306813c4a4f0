/** BOS before the prompts of conversations: Ollama and llama.cpp put it there by what a GGUF file says. */
import { GraftError } from '../../core/errors';
import type { ChatTemplate } from '../../core/text';
import type { HubTokenizer } from '../tokenizer';

/** Whether conversations begin with BOS; undefined of a template that refuses a plain question. */
export function beginsWithBos(tokenizer: HubTokenizer, template: ChatTemplate): boolean | undefined {
  const { bos_token: bos } = tokenizer.specialTokens;
  const messages = [{ role: 'user', content: 'Hello' }];
  try {
    return bos !== undefined && template.render({ messages }, { addGenerationPrompt: true }).startsWith(bos);
  } catch (error) {
    if (error instanceof GraftError) return undefined;
    throw error;
  }
}

/**
 * The text of BOS where a file is to say that prompts begin with it (`add_bos_token`): where the tokenizer puts it before
 * texts, and the chat template before conversations. Elsewhere a template that writes BOS writes all there is of it.
 */
export function leadingBos(tokenizer: HubTokenizer, template: ChatTemplate): string | undefined {
  return tokenizer.addsBos && beginsWithBos(tokenizer, template) ? tokenizer.specialTokens.bos_token : undefined;
}
