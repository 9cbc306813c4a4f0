/** Prompt tuning as a run file asks for it: PEFT's PromptTuningConfig, and what doesn't go with it. */
import { virtualTokens, type PromptSpec } from '../../core/adapter';
import { parseRunConfig, type RunConfig, type RunConfigKey } from '../../core/config';
import { GraftError } from '../../core/errors';
import { quote } from '../../core/format';
import type { DecoderSpec } from '../../core/spec';
import type { Tokenizer } from '../../core/text';
import { refuseLongPrompt, refuseScaledEmbeddings } from '../../formats/peft-prompt';

/** Keys of LoRA, and of what is trained beside its matrices. */
export const KEYS_OF_LORA = [
  'lora_r',
  'lora_alpha',
  'lora_dropout',
  'lora_target_modules',
  'layers_to_transform',
  'lora_modules_to_save',
  'ensure_weight_tying',
  'trainable_token_indices',
  'use_rslora',
  'use_dora',
] as const satisfies readonly RunConfigKey[];

/** Keys of prompt tuning. */
export const KEYS_OF_PROMPTS = [
  'num_virtual_tokens',
  'prompt_tuning_init',
  'prompt_tuning_init_text',
] as const satisfies readonly RunConfigKey[];

/** Whether the run trains virtual tokens. */
export function tunesPrompt(run: Pick<RunConfig, 'use_peft' | 'peft_type'>): boolean {
  return run.use_peft && run.peft_type === 'PROMPT_TUNING';
}

/** Tokens that stand before every row of the run, beside its own. */
export function virtualTokensOf(run: Pick<RunConfig, 'use_peft' | 'peft_type' | 'num_virtual_tokens'>): number {
  return tunesPrompt(run) ? run.num_virtual_tokens : 0;
}

/** Tokens that a model with this adapter reads beside the virtual ones. */
export function readableTokens(
  { maxPositions }: Pick<DecoderSpec, 'maxPositions'>,
  adapter: { readonly prompt?: PromptSpec | undefined } = {},
): number {
  return maxPositions - virtualTokens(adapter);
}

/** Throws `bad-config` for keys of one kind of adapter in a run of another, and for what no prompt can be trained with. */
export function refuseOtherAdapters(run: RunConfig): void {
  const refuse = (message: string) => {
    throw new GraftError('bad-config', message);
  };
  const defaults = parseRunConfig('');
  const isSet = (key: RunConfigKey) => JSON.stringify(run[key]) !== JSON.stringify(defaults[key]);
  if (!tunesPrompt(run)) {
    const found = (['peft_type', ...KEYS_OF_PROMPTS] as const).find(isSet);
    if (found === undefined) return;
    if (run.use_peft) {
      refuse(`${found} is for peft_type: PROMPT_TUNING, and this run has LORA: set peft_type, or take it out.`);
    }
    refuse(
      `${found} is for use_peft: true, and use_peft: false trains every parameter: take it out, or set use_peft: true.`,
    );
  }
  const ofLora = KEYS_OF_LORA.find(isSet);
  if (ofLora !== undefined) {
    refuse(
      `${ofLora} is for peft_type: LORA, and PROMPT_TUNING changes no linear: take it out, or set peft_type: LORA.`,
    );
  }
  if (run.packing) {
    refuse(
      'packing: true puts several rows into one sequence, and a prompt stands before each of its own: set packing: false.',
    );
  }
  const { prompt_tuning_init: init, prompt_tuning_init_text: text } = run;
  if (init === 'TEXT' && text === undefined) {
    refuse(
      'prompt_tuning_init: TEXT begins with a text: give it as prompt_tuning_init_text, or set prompt_tuning_init: RANDOM.',
    );
  }
  if (init !== 'TEXT' && text !== undefined) {
    refuse(
      `prompt_tuning_init_text is for prompt_tuning_init: TEXT, and this run has ${init}: set that, or take it out.`,
    );
  }
}

/**
 * The prompt of a run, or undefined where it trains something else. Which tokens it begins as takes the tokenizer, and
 * changes no byte of a plan: without one they are the first of the vocabulary.
 * Throws `bad-config` and `unsupported` where the model has no place for it.
 */
export function promptOf(
  run: RunConfig,
  { spec, tokenizer }: { readonly spec: DecoderSpec; readonly tokenizer?: Tokenizer | undefined },
): PromptSpec | undefined {
  if (!tunesPrompt(run)) return undefined;
  const { num_virtual_tokens: numVirtualTokens, prompt_tuning_init_text: initText } = run;
  refuseScaledEmbeddings(spec);
  refuseLongPrompt('num_virtual_tokens asks for', numVirtualTokens, spec);
  if (initText === undefined) return { numVirtualTokens };
  const tokens = tokenizer?.encode(initText, { addSpecialTokens: true }) ?? [0];
  if (tokens.length === 0) {
    throw new GraftError(
      'bad-config',
      `prompt_tuning_init_text is ${quote(initText)}, which has no token: write some words.`,
    );
  }
  // PEFT cuts it, or says it again, until it is as long as the prompt.
  const initTokens = Array.from({ length: numVirtualTokens }, (_, i) => tokens[i % tokens.length]!);
  return { numVirtualTokens, initTokens, initText };
}

/** The prompt of a run, as its files say it. */
export function savedPrompt(run: RunConfig): PromptSpec | undefined {
  if (!tunesPrompt(run)) return undefined;
  const { num_virtual_tokens: numVirtualTokens, prompt_tuning_init_text: initText } = run;
  return { numVirtualTokens, initText };
}
