/** What a model is asked, and the token ids that it is asked with. */
import { GraftError } from '../../core/errors';
import type { ChatTemplate, Conversation } from '../../core/text';
import type { HubModel } from '../../formats/model';

const CONTEXT_STEP = 64;

/** A conversation to answer (through the chat template), text to go on with, or token ids as they stand. */
export type Prompt = (
  | ({ readonly kind: 'chat' } & Conversation)
  | { readonly kind: 'text'; readonly text: string }
  /** `opensTurn`: the answer begins a turn of its own, as after a conversation, instead of going on with a text. */
  | { readonly kind: 'tokens'; readonly ids: readonly number[]; readonly opensTurn?: boolean }
) & {
  /** Where a person finds it, for messages; of a row of a file. */
  readonly where?: string;
};

/** The token ids that a model is asked with. Throws `bad-config` where the model has no tokenizer for text. */
export function promptIds(model: Pick<HubModel, 'name' | 'tokenizer' | 'template'>, prompt: Prompt): readonly number[] {
  if (prompt.kind === 'tokens') return prompt.ids;
  const { tokenizer, template } = model;
  if (!tokenizer || !template) {
    throw new GraftError(
      'bad-config',
      `${model.name} has no tokenizer.json, so it can't read text: give it input_ids.`,
    );
  }
  if (prompt.kind === 'text') return tokenizer.encode(prompt.text, { addSpecialTokens: true });
  // The template has the special tokens already; the same call renders the prompts of training.
  return tokenizer.encode(renderPrompt(prompt, template), { addSpecialTokens: false });
}

function renderPrompt(prompt: Conversation & { readonly where?: string }, template: ChatTemplate): string {
  try {
    return template.render(prompt, { addGenerationPrompt: true });
  } catch (error) {
    if (prompt.where === undefined || !(error instanceof GraftError)) throw error;
    throw new GraftError(error.code, `${prompt.where} can't be rendered: ${error.message}`, { cause: error });
  }
}

/**
 * A context that holds the longest of the prompts and its answer, in few sizes so that caches are shared. A prompt that
 * can't be asked has no length; asking it says why.
 */
export function contextFor(model: HubModel, prompts: readonly Prompt[], maxNewTokens: number): number {
  const lengthOf = (prompt: Prompt) => {
    try {
      return promptIds(model, prompt).length;
    } catch (error) {
      if (isAboutPrompt(error)) return 0;
      throw error;
    }
  };
  const longest = prompts.reduce((most, prompt) => Math.max(most, lengthOf(prompt)), 0);
  return Math.min(Math.ceil((longest + maxNewTokens) / CONTEXT_STEP) * CONTEXT_STEP, model.spec.maxPositions);
}

/** Whether an error says that one prompt can't be asked, and nothing of the others. */
export function isAboutPrompt(error: unknown): error is GraftError {
  return error instanceof GraftError && ['bad-config', 'bad-data', 'unsupported'].includes(error.code);
}
