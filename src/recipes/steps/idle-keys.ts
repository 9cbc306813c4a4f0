/** Keys that were given and that nothing follows, as another key of the run stands in their way. */
import type { RunConfig, RunConfigKey } from '../../core/config';
import { KEYS_OF_METHODS } from './options';
import { KEYS_OF_LORA, KEYS_OF_PROMPTS, tunesPrompt } from './prompt-tuning';

interface Idle {
  readonly keys: readonly RunConfigKey[];
  /** What stands in the way, as the run file has it; undefined where nothing does. */
  readonly why: (run: RunConfig) => string | undefined;
}

const IDLE: readonly Idle[] = [
  {
    keys: ['num_train_epochs'],
    why: ({ max_steps }) => (max_steps > 0 ? `max_steps: ${max_steps} replaces it` : undefined),
  },
  {
    keys: ['warmup_ratio'],
    why: ({ warmup_steps }) => (warmup_steps > 0 ? `warmup_steps: ${warmup_steps} replaces it` : undefined),
  },
  {
    keys: ['warmup_ratio', 'warmup_steps'],
    why: ({ lr_scheduler_type: type }) => (type === 'constant' ? 'lr_scheduler_type: constant has none' : undefined),
  },
  {
    keys: ['lr_end', 'power'],
    why: ({ lr_scheduler_type: type }) => (type !== 'polynomial' ? 'for lr_scheduler_type: polynomial' : undefined),
  },
  {
    keys: ['checkpoint_dtype', 'checkpoint_layers'],
    why: (run) => (run.gradient_checkpointing ? undefined : 'for gradient_checkpointing: true'),
  },
  {
    keys: ['bnb_4bit_quant_type', 'use_bnb_nested_quant'],
    why: (run) => (run.load_in_4bit ? undefined : 'for load_in_4bit: true'),
  },
  {
    keys: ['eval_steps', 'early_stopping_patience'],
    why: ({ val_set_size }) => (val_set_size > 0 ? undefined : 'for val_set_size above 0'),
  },
  { keys: KEYS_OF_LORA, why: (run) => (tunesPrompt(run) ? 'for peft_type: LORA' : undefined) },
  { keys: KEYS_OF_PROMPTS, why: (run) => (tunesPrompt(run) ? undefined : 'for peft_type: PROMPT_TUNING') },
  ...Object.entries(KEYS_OF_METHODS).map(([key, methods]): Idle => {
    const why = `for method: ${methods.join(' or ')}`;
    return {
      keys: [key as RunConfigKey],
      why: ({ method }) => (methods.some((own) => own === method) ? undefined : why),
    };
  }),
];

/** What is switched off is missed nowhere. */
const isOff = (value: RunConfig[RunConfigKey]) => value === 0 || value === false;

/** One sentence that names them with their reasons, or none. */
export function idleKeyNotices(run: RunConfig, given: ReadonlySet<RunConfigKey> = new Set()): string[] {
  const reasons = new Map<RunConfigKey, string>();
  for (const { keys, why } of IDLE) {
    const reason = why(run);
    for (const key of keys) if (reason !== undefined && given.has(key) && !isOff(run[key])) reasons.set(key, reason);
  }
  if (reasons.size === 0) return [];
  const named = [...reasons].map(([key, reason]) => `${key} (${reason})`);
  return [`These keys have no effect in this run: ${named.join(', ')}.`];
}
