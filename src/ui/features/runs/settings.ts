/**
 * Which settings the form has: the field's own term, the key of the run file, and in plain words what it is. What a key may
 * hold, and more about it, is the run file's own.
 */
import { RUN_CONFIG_KEYS, type RunConfig } from '../../../core/config';

type KeysOf<T> = { [K in keyof RunConfig]-?: RunConfig[K] extends T ? K : never }[keyof RunConfig];

export type NumberKey = KeysOf<number | undefined>;
export type FlagKey = KeysOf<boolean>;

type ChoiceKey = 'lr_scheduler_type' | 'dtype' | 'optim' | 'checkpoint_dtype' | 'embedding_dtype';

interface Words {
  /** As papers and other tools call it. */
  readonly label: string;
  /** What it is, to somebody who doesn't know the term. */
  readonly words: string;
}

export type Setting = Words &
  (
    | { readonly kind: 'number'; readonly key: NumberKey }
    | { readonly kind: 'flag'; readonly key: FlagKey }
    | { readonly kind: 'choice'; readonly key: ChoiceKey; readonly options: readonly string[] }
    | { readonly kind: 'modules'; readonly key: 'lora_target_modules' }
    | { readonly kind: 'variables'; readonly key: 'chat_template_kwargs' }
  );

const number = (key: NumberKey, label: string, words: string): Setting => ({ kind: 'number', key, label, words });
const flag = (key: FlagKey, label: string, words: string): Setting => ({ kind: 'flag', key, label, words });
const choice = (key: ChoiceKey, label: string, words: string, options: readonly string[]): Setting => {
  return { kind: 'choice', key, label, words, options };
};

/** What most people change. */
export const BASIC: readonly Setting[] = [
  number('learning_rate', 'Learning rate', 'How big its steps are at most'),
  number('num_train_epochs', 'Epochs', 'Times that it goes through the data'),
  number('per_device_train_batch_size', 'Batch size', 'Examples that are read at once'),
  number('lora_r', 'Rank', 'Size of the adapter: a larger one learns more, and takes more memory'),
  number('max_length', 'Maximum length', 'Longest example, in tokens: longer ones are cut'),
];

/** How the run is checked. */
export const CHECK: readonly Setting[] = [
  number('val_set_size', 'Held-out rows', 'Kept back to check it: a fraction, or a number of rows; 0 holds out none'),
  number(
    'eval_steps',
    'Evaluation interval',
    'Steps between checks on held-out rows; left empty, 25, or a fifth of the run if that is less',
  ),
  number(
    'early_stopping_patience',
    'Early stopping patience',
    'Checks without progress before it stops; 0 never stops it',
  ),
];

export const ADVANCED: readonly { title: string; settings: readonly Setting[] }[] = [
  {
    title: 'Schedule',
    settings: [
      choice('lr_scheduler_type', 'Schedule', 'How the learning rate falls', [
        'cosine',
        'linear',
        'constant',
        'constant_with_warmup',
        'polynomial',
      ]),
      number('warmup_ratio', 'Warm-up ratio', 'Part of the run that warms up'),
      number('warmup_steps', 'Warm-up steps', 'Or steps that warm up'),
      number('lr_end', 'Final rate', 'Where a polynomial schedule ends'),
      number('power', 'Polynomial power', 'How fast it gets there'),
      number('max_steps', 'Maximum steps', 'Steps instead of epochs'),
      number('gradient_accumulation_steps', 'Gradient accumulation', 'Batches summed in one step'),
    ],
  },
  {
    title: 'Adapter',
    settings: [
      number('lora_alpha', 'Alpha', 'Weight of the adapter'),
      number('lora_dropout', 'Dropout', 'Part of its input left out'),
      {
        kind: 'modules',
        key: 'lora_target_modules',
        label: 'Target modules',
        words: 'Which parts of the model get one',
      },
      flag('use_rslora', 'Rank-stabilised LoRA', 'Scale by the square root of the rank'),
      flag('use_dora', 'DoRA', 'Train magnitude and direction apart'),
      flag('use_peft', 'Train an adapter', 'And not the whole model'),
    ],
  },
  {
    title: 'Optimiser',
    settings: [
      number('weight_decay', 'Weight decay', 'Pull of the weights towards zero'),
      number('max_grad_norm', 'Gradient clipping', 'Longest gradient that is let through'),
      number('adam_beta1', 'Adam beta 1', 'Memory of the direction'),
      number('adam_beta2', 'Adam beta 2', 'Memory of the size'),
      number('adam_epsilon', 'Adam epsilon', 'Guard against division by zero'),
      number('seed', 'Seed', 'Of all that is random'),
    ],
  },
  {
    title: 'Memory',
    settings: [
      flag('load_in_4bit', '4-bit weights', 'Keep the model in 4 bits'),
      flag('use_bnb_nested_quant', 'Double quantisation', 'Quantise the scales of 4 bits, too'),
      flag('gradient_checkpointing', 'Gradient checkpointing', 'Less memory, more time'),
      number('checkpoint_layers', 'Checkpointed layers', 'Layers computed again together'),
      choice('checkpoint_dtype', 'Checkpoint type', 'How their inputs are kept', ['float32', 'bfloat16']),
      number('mlp_chunk_size', 'MLP chunk size', 'Tokens in the widest part at once'),
      choice('optim', 'Optimiser', 'What it remembers, in 32 or 8 bits', ['adamw', 'adamw_8bit']),
      choice('embedding_dtype', 'Embedding type', 'How the vocabulary is kept', ['auto', 'q8']),
    ],
  },
  {
    title: 'Data',
    settings: [
      flag('assistant_only_loss', 'Loss on answers only', 'Learn the answers, not the questions'),
      flag('shuffle', 'Shuffle', 'Mix the examples'),
      flag('packing', 'Packing', 'Put short examples together'),
      number('max_bad_rows', 'Unusable rows', 'Part of the rows that may be left out'),
      {
        kind: 'variables',
        key: 'chat_template_kwargs',
        label: 'Template variables',
        words: 'What the chat template is given',
      },
    ],
  },
  {
    title: 'Bookkeeping',
    settings: [
      number('save_steps', 'Save interval', 'Steps between checkpoints'),
      number('save_seconds', 'Save time', 'Seconds between checkpoints'),
      number('logging_steps', 'Logging interval', 'Steps between points of the curve'),
      choice('dtype', 'Weight type', 'How the model is kept', ['auto', 'float32', 'float16', 'bfloat16']),
    ],
  },
];

const LABELS: ReadonlyMap<string, string> = new Map(
  [...BASIC, ...CHECK, ...ADVANCED.flatMap(({ settings }) => settings)].map(({ key, label }) => [key, label]),
);

const PLAIN: ReadonlySet<string> = new Set([...BASIC, ...CHECK].map(({ key }) => key));

/** What a setting is, in plain words; of one that fewer people know, as the run file says it besides. */
export function describeSetting({ key, words }: Setting): string {
  return PLAIN.has(key) ? `${words}.` : `${words}: ${RUN_CONFIG_KEYS[key]}`;
}

/** Groups of settings that say how it is trained, beside the basic ones. */
const OF_TRAINING: ReadonlySet<string> = new Set(['Schedule', 'Adapter', 'Optimiser', 'Memory']);

/** What says how it is trained, and not on what, how it is checked, or what is kept of it. */
export const TRAINING_KEYS: ReadonlySet<keyof RunConfig> = new Set(
  [...BASIC, ...ADVANCED.filter(({ title }) => OF_TRAINING.has(title)).flatMap(({ settings }) => settings)]
    .map(({ key }) => key)
    .filter((key) => key !== 'seed'),
);

/** A setting by the field's term; its key where the form has no field for it. */
export function settingLabel(key: keyof RunConfig): string {
  return LABELS.get(key) ?? key;
}
