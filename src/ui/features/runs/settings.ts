/** Which settings the form has, in plain words. The exact term, its help and its rules are the run file's own. */
import type { RunConfig } from '../../../core/config';

type KeysOf<T> = { [K in keyof RunConfig]-?: RunConfig[K] extends T ? K : never }[keyof RunConfig];

export type NumberKey = KeysOf<number>;
export type FlagKey = KeysOf<boolean>;

type ChoiceKey = 'lr_scheduler_type' | 'dtype' | 'optim' | 'checkpoint_dtype' | 'embedding_dtype';

export type Setting =
  | { kind: 'number'; key: NumberKey; label: string }
  | { kind: 'flag'; key: FlagKey; label: string }
  | { kind: 'choice'; key: ChoiceKey; label: string; options: readonly string[] }
  | { kind: 'modules'; key: 'lora_target_modules'; label: string }
  | { kind: 'variables'; key: 'chat_template_kwargs'; label: string };

const number = (key: NumberKey, label: string): Setting => ({ kind: 'number', key, label });
const flag = (key: FlagKey, label: string): Setting => ({ kind: 'flag', key, label });
const choice = (key: ChoiceKey, label: string, options: readonly string[]): Setting => {
  return { kind: 'choice', key, label, options };
};

/** What most people change. */
export const BASIC: readonly Setting[] = [
  number('learning_rate', 'How big its steps are'),
  number('num_train_epochs', 'Times through the data'),
  number('per_device_train_batch_size', 'Examples at once'),
  number('lora_r', 'Size of the adapter'),
  number('max_length', 'Longest example, in tokens'),
];

/** How the run is checked. */
export const CHECK: readonly Setting[] = [
  number('val_set_size', 'Held out to check it'),
  number('eval_steps', 'Steps between checks on held-out rows'),
  number('early_stopping_patience', 'Checks without progress before it stops'),
];

export const ADVANCED: readonly { title: string; settings: readonly Setting[] }[] = [
  {
    title: 'Schedule',
    settings: [
      {
        kind: 'choice',
        key: 'lr_scheduler_type',
        label: 'How the learning rate falls',
        options: ['cosine', 'linear', 'constant', 'constant_with_warmup', 'polynomial'],
      },
      number('warmup_ratio', 'Part of the run that warms up'),
      number('warmup_steps', 'Or steps that warm up'),
      number('lr_end', 'Where a polynomial schedule ends'),
      number('power', 'How fast it gets there'),
      number('max_steps', 'Steps instead of epochs'),
      number('gradient_accumulation_steps', 'Batches summed in one step'),
    ],
  },
  {
    title: 'Adapter',
    settings: [
      number('lora_alpha', 'Weight of the adapter'),
      number('lora_dropout', 'Part of its input left out'),
      { kind: 'modules', key: 'lora_target_modules', label: 'Which parts of the model get one' },
      flag('use_rslora', 'Scale by the square root of the rank'),
      flag('use_dora', 'Train magnitude and direction apart'),
      flag('use_peft', 'Train an adapter, not the whole model'),
    ],
  },
  {
    title: 'Optimiser',
    settings: [
      number('weight_decay', 'Pull of the weights towards zero'),
      number('max_grad_norm', 'Longest gradient that is let through'),
      number('adam_beta1', 'Memory of the direction'),
      number('adam_beta2', 'Memory of the size'),
      number('adam_epsilon', 'Guard against division by zero'),
      number('seed', 'Seed of all that is random'),
    ],
  },
  {
    title: 'Memory',
    settings: [
      flag('load_in_4bit', 'Keep the model in 4 bits'),
      flag('use_bnb_nested_quant', 'Quantise the scales of 4 bits, too'),
      flag('gradient_checkpointing', 'Less memory, more time'),
      number('checkpoint_layers', 'Layers computed again together'),
      choice('checkpoint_dtype', 'How their inputs are kept', ['float32', 'bfloat16']),
      number('mlp_chunk_size', 'Tokens in the widest part at once'),
      choice('optim', 'What the optimiser remembers, in 32 or 8 bits', ['adamw', 'adamw_8bit']),
      choice('embedding_dtype', 'How the vocabulary is kept', ['auto', 'q8']),
    ],
  },
  {
    title: 'Data',
    settings: [
      flag('assistant_only_loss', 'Learn the answers only'),
      flag('shuffle', 'Shuffle the examples'),
      flag('packing', 'Put short examples together'),
      number('max_bad_rows', 'Part of the rows that may be unusable'),
      { kind: 'variables', key: 'chat_template_kwargs', label: 'Variables for the chat template' },
    ],
  },
  {
    title: 'Bookkeeping',
    settings: [
      number('save_steps', 'Steps between checkpoints'),
      number('logging_steps', 'Steps between points of the curve'),
      {
        kind: 'choice',
        key: 'dtype',
        label: 'How the model is kept',
        options: ['auto', 'float32', 'float16', 'bfloat16'],
      },
    ],
  },
];

const LABELS: ReadonlyMap<string, string> = new Map(
  [...BASIC, ...CHECK, ...ADVANCED.flatMap(({ settings }) => settings)].map(({ key, label }) => [key, label]),
);

/** A setting in plain words; its key where the form has no field for it. */
export function settingLabel(key: keyof RunConfig): string {
  return LABELS.get(key) ?? key;
}
