/** The run file: one flat YAML mapping with Hugging Face names, the same for the page, the command line and a link. */
import * as v from 'valibot';
import { stringify } from 'yaml';
import {
  above0,
  day,
  flag,
  fraction,
  from0,
  heldOut,
  layers,
  mapping,
  EPOCHS,
  MAX_STEPS,
  modules,
  oneOf,
  savedModules,
  trainableTokens,
  part,
  share,
  text,
  variables,
  whole,
} from './config-values';
import { GraftError } from './errors';
import { quote, shorten } from './format';
import { nearest } from './nearest';
import { readScalar, readYaml } from './run-yaml';

/** Characters of a key that a message shows. */
const MAX_SHOWN = 60;

/** Unknown keys that a message names. */
const MAX_NAMED = 10;

/** Every key with its schema, its default and one line of help, in the order of a written file. */
const KEYS = {
  model_name_or_path: key(text, 'starter', 'A Hub id, a local folder, or a built-in name.'),
  revision: key(text, 'main', 'Branch, tag or commit of the model on the Hub.'),
  method: key(
    oneOf('sft', 'dpo', 'distill'),
    'sft',
    'sft trains on answers, dpo on pairs of a chosen and a rejected one, distill on what a teacher says.',
  ),
  dtype: key(
    oneOf('auto', 'float32', 'float16', 'bfloat16'),
    'auto',
    'How base weights are kept: auto is as they are stored.',
  ),
  dataset: key(
    v.optional(text),
    undefined,
    'A file of rows (JSON, JSONL, CSV, TSV, or text with Q: and A:), or a built-in name.',
  ),
  dataset_mapping: key(
    v.optional(mapping),
    undefined,
    'Which column is which field, as {question: Frage}; by place (1, 2) where a table names none.',
  ),
  max_train_samples: key(v.optional(whole(1)), undefined, 'Use only this many rows, from the first; absent uses all.'),
  max_bad_rows: key(share, 0.1, 'Rows that may be left out as unusable, as a fraction; with more the file is refused.'),
  chat_template: key(v.optional(text), undefined, "A chat template in Jinja, in place of the model's own."),
  chat_template_path: key(v.optional(text), undefined, 'A file with a chat template; its text becomes chat_template.'),
  chat_template_kwargs: key(
    v.optional(variables),
    undefined,
    'Variables for the chat template, as {enable_thinking: false}.',
  ),
  template_date: key(
    v.optional(day),
    undefined,
    'The day that a chat template prints, YYYY-MM-DD; absent is the day on which the run begins.',
  ),
  output_dir: key(text, 'output', 'The folder that the adapter and checkpoints are written to.'),

  learning_rate: key(above0, 2e-4, 'Peak learning rate; absent, a tenth of the default where use_peft is false.'),
  lr_scheduler_type: key(
    oneOf('cosine', 'linear', 'constant', 'constant_with_warmup', 'polynomial'),
    'cosine',
    'How the learning rate falls after the warm-up.',
  ),
  warmup_ratio: key(part, 0.03, 'Part of all steps in which the learning rate rises from 0.'),
  warmup_steps: key(whole(0), 0, 'Steps of warm-up; above 0 it replaces warmup_ratio.'),
  lr_end: key(from0, 1e-7, 'Last learning rate of the polynomial schedule.'),
  power: key(above0, 1, 'Power of the polynomial schedule; 1 is a straight line.'),
  num_train_epochs: key(v.pipe(above0, v.maxValue(1e6, EPOCHS)), 3, 'Passes over the training rows.'),
  max_steps: key(
    v.pipe(whole(-1), v.notValue(0, MAX_STEPS)),
    -1,
    'Optimiser steps; above 0 it replaces num_train_epochs.',
  ),
  per_device_train_batch_size: key(whole(1, 4096), 4, 'Rows of a micro-batch.'),
  gradient_accumulation_steps: key(whole(1, 65_536), 4, 'Micro-batches of an optimiser step.'),
  max_length: key(whole(2, 1_048_576), 512, 'Tokens of a row; longer rows are cut.'),
  packing: key(flag, false, 'Put several short rows into one sequence.'),
  assistant_only_loss: key(flag, true, "Train on the assistant's answers only, not on prompts."),
  shuffle: key(flag, true, 'Shuffle the rows anew in each epoch; false keeps the order of the file.'),
  gradient_checkpointing: key(flag, true, 'Recompute activations in the backward pass: less memory, more time.'),

  checkpoint_dtype: key(
    oneOf('float32', 'bfloat16'),
    'float32',
    'How gradient_checkpointing keeps the inputs of layers; bfloat16 rounds them to half the memory.',
  ),
  checkpoint_layers: key(
    whole(1, 1024),
    1,
    'Layers to each input that gradient_checkpointing keeps; above 1 they are computed once more.',
  ),
  mlp_chunk_size: key(whole(0), 0, 'Tokens that an MLP works on at once, to keep its wide values few; 0 takes all.'),

  optim: key(
    oneOf('adamw', 'adamw_8bit'),
    'adamw',
    'The optimiser; adamw_8bit keeps its state in a quarter of the memory.',
  ),
  adam_beta1: key(fraction, 0.9, "AdamW's decay of the first moment."),
  adam_beta2: key(fraction, 0.999, "AdamW's decay of the second moment."),
  adam_epsilon: key(above0, 1e-8, "AdamW's term against division by zero."),
  weight_decay: key(from0, 0, "AdamW's decoupled weight decay."),
  max_grad_norm: key(from0, 1, 'Gradients are scaled down to this global norm; 0 leaves them.'),
  seed: key(whole(0, 4_294_967_295), 42, 'Seed of the adapter, the dropout, the split and the order of rows.'),

  val_set_size: key(heldOut, 0, 'Rows held out for evaluation: a fraction, or a number of rows; 0 holds out none.'),
  eval_steps: key(
    v.optional(whole(1)),
    undefined,
    'Steps between evaluations of the held-out rows; absent, 25, or a fifth of the run if that is less.',
  ),
  early_stopping_patience: key(whole(0), 0, 'Evaluations without a better loss before training stops; 0 never stops.'),
  logging_steps: key(whole(1), 1, 'Steps between rows of the log.'),
  save_steps: key(whole(1), 25, 'Steps between checkpoints.'),
  save_seconds: key(from0, 30, 'A checkpoint is due after so many seconds, too; 0 keeps to save_steps.'),

  beta: key(
    from0,
    0.1,
    'dpo: what going away from the reference costs; distill: 0 is KL(teacher‖student), 1 the reverse.',
  ),
  loss_type: key(oneOf('sigmoid'), 'sigmoid', 'dpo: the loss of a pair.'),
  label_smoothing: key(from0, 0, 'dpo: part of the pairs whose order is taken to be wrong; 0 only.'),
  precompute_ref_log_probs: key(
    flag,
    false,
    'dpo: false only; the reference is computed in each step, or comes with the rows.',
  ),
  disable_dropout: key(flag, true, 'dpo, distill: train without dropout.'),
  temperature: key(above0, 1, 'distill: softens both distributions; only 1 goes with loss_add_tail.'),
  loss_top_k: key(
    whole(0, 65_536),
    0,
    "distill: how many of the teacher's likeliest tokens count; 0 takes all that the rows have.",
  ),
  loss_add_tail: key(
    flag,
    true,
    'distill: all other tokens count as one class more; false leaves them out and renormalises.',
  ),

  use_peft: key(flag, true, 'Train an adapter; false trains every parameter.'),
  peft_type: key(
    oneOf('LORA', 'PROMPT_TUNING'),
    'LORA',
    'LORA adds to linears; PROMPT_TUNING trains tokens before every prompt, by default at 0.03.',
  ),
  num_virtual_tokens: key(whole(1, 4096), 20, 'PROMPT_TUNING: tokens before every prompt.'),
  prompt_tuning_init: key(
    oneOf('RANDOM', 'TEXT'),
    'RANDOM',
    'PROMPT_TUNING: begin at random, or as prompt_tuning_init_text.',
  ),
  prompt_tuning_init_text: key(
    v.optional(text),
    undefined,
    'PROMPT_TUNING: a text whose tokens the prompt begins as, cut or said again to its length.',
  ),
  lora_r: key(whole(1, 65_536), 16, 'Rank of the adapter.'),
  lora_alpha: key(above0, 32, 'The adapter is scaled by lora_alpha / lora_r.'),
  lora_dropout: key(part, 0.05, "Dropout of the adapter's input."),
  lora_target_modules: key(
    modules,
    'all-linear',
    'Which linears of the model get an adapter; auto is what PEFT takes for its family.',
  ),
  layers_to_transform: key(
    v.optional(layers),
    undefined,
    'The layers, counted from 0, whose linears get an adapter; absent, all of them.',
  ),
  lora_modules_to_save: key(
    v.optional(savedModules),
    undefined,
    'Modules that are trained whole beside the adapter, and saved with it; absent, none.',
  ),
  ensure_weight_tying: key(
    flag,
    false,
    'Keep head and embedding tied where lora_modules_to_save names either; else they part.',
  ),
  trainable_token_indices: key(
    v.optional(trainableTokens),
    undefined,
    'Tokens whose rows of the embedding, and of a tied head, are trained too; absent, none.',
  ),
  use_rslora: key(flag, false, 'Scale by lora_alpha / sqrt(lora_r) (rank-stabilised LoRA).'),
  use_dora: key(flag, false, 'Train magnitude and direction apart (DoRA).'),
  load_in_4bit: key(flag, false, 'Keep base weights in 4 bits (QLoRA).'),
  bnb_4bit_quant_type: key(oneOf('nf4'), 'nf4', 'The 4-bit code.'),
  embedding_dtype: key(
    oneOf('auto', 'q8'),
    'auto',
    'How embeddings and head are kept: auto is as dtype says, q8 in 8 bits.',
  ),
  use_bnb_nested_quant: key(flag, true, 'Quantise the scales of 4-bit blocks too.'),
};

/** A run as resolved: every key with a value that has been checked; those without a default may be absent. */
export type RunConfig = { -readonly [K in keyof typeof KEYS]: v.InferOutput<(typeof KEYS)[K]['schema']> };

export type RunConfigKey = keyof RunConfig;

const KEY_NAMES = Object.keys(KEYS) as RunConfigKey[];

/** What stands for absent keys where the method is another one than most: TRL's `beta` has one name and two meanings. */
const DISTILL_DEFAULTS: Partial<RunConfig> = { beta: 0 };

/** Every parameter takes a tenth of an adapter's learning rate: TRL's default, 2e-5, against the 2e-4 that it advises for LoRA. */
const FULL_DEFAULTS: Partial<RunConfig> = { learning_rate: 2e-5 };

/** A few vectors, drawn from the standard normal distribution, move far: the learning rate of PEFT's guide. */
const PROMPT_DEFAULTS: Partial<RunConfig> = { learning_rate: 0.03 };

/** One line of help for each key, in the order of a written file. */
export const RUN_CONFIG_KEYS = Object.fromEntries(KEY_NAMES.map((name) => [name, KEYS[name].description])) as Readonly<
  Record<RunConfigKey, string>
>;

/** What the help says of a key's value: `one of cosine, linear`, and what stands for an absent key where anything does. */
export function describeRunKey(name: RunConfigKey): {
  readonly expected: string;
  readonly fallback: string | undefined;
} {
  const { schema, fallback } = KEYS[name] as { schema: v.GenericSchema; fallback: RunConfig[RunConfigKey] };
  const expected = v.safeParse(schema, Symbol('no value')).issues?.[0].message ?? '';
  return { expected, fallback: fallback === undefined ? undefined : formatValue(fallback) };
}

/** Pairs a schema with the value that stands for an absent key; the schema is exact, so that the default is checked. */
function key<S extends v.GenericSchema>(schema: S, fallback: v.InferInput<S>, description: string) {
  return { schema, fallback, description };
}

/** A run, and which of its keys somebody has set, be it to what they are without. */
export interface GivenRun {
  readonly run: RunConfig;
  /** Those of the command line, and of a file; but a file with every key, as Graft writes it, says of none that it is meant. */
  readonly given: ReadonlySet<RunConfigKey>;
}

/**
 * Reads a run file. `overrides` come from a command line as text (`learning-rate` or `learning_rate`) and win over the
 * file; `name` is what messages call the file.
 * @throws `bad-config` naming the key: unknown (with the nearest valid one), of a wrong type, or impossible.
 */
export function parseRunConfig(
  yamlText: string,
  overrides: Readonly<Record<string, string>> = {},
  name = 'run.yaml',
): RunConfig {
  return parseGivenRun(yamlText, overrides, name).run;
}

/** The same, with what was given. */
export function parseGivenRun(
  yamlText: string,
  overrides: Readonly<Record<string, string>> = {},
  name = 'run.yaml',
): GivenRun {
  const given = new Map<RunConfigKey, unknown>();
  const inFile = Object.entries(readYaml(yamlText, name));
  for (const [known, value] of withKnownKeys(inFile, name)) {
    if (value !== null) given.set(known, value);
  }
  const hasAll = KEY_NAMES.every((known) => given.has(known) || KEYS[known].fallback === undefined);
  const meant = new Set(hasAll ? [] : given.keys());
  const onLine = Object.entries(overrides).map(([found, value]) => [found.replaceAll('-', '_'), value] as const);
  for (const [known, value] of withKnownKeys(onLine, 'The command line')) {
    given.set(known, readOverride(known, value));
    meant.add(known);
  }
  const flags = new Set(onLine.map(([found]) => found));
  const ofMethod: Partial<RunConfig> = {
    ...(given.get('method') === 'distill' && DISTILL_DEFAULTS),
    ...(given.get('peft_type') === 'PROMPT_TUNING' && PROMPT_DEFAULTS),
    ...(given.get('use_peft') === false && FULL_DEFAULTS),
  };
  const config = KEY_NAMES.map((known) => {
    const where = flags.has(known) ? 'The command line' : name;
    return [
      known,
      check(known, given.has(known) ? given.get(known) : (ofMethod[known] ?? KEYS[known].fallback), where),
    ];
  });
  return { run: Object.fromEntries(config) as RunConfig, given: meant };
}

/** The run file of a config: every key, in order. Reading it back gives the same config. */
export function formatRunConfig(config: RunConfig): string {
  return KEY_NAMES.filter((name) => config[name] !== undefined)
    .map((name) => `${name}: ${formatValue(config[name])}\n`)
    .join('');
}

/** A value as it stands in a run file. */
export function formatValue(value: RunConfig[RunConfigKey]): string {
  // YAML 1.1 readers (PyYAML) take 1e-8 for text; 1.0e-8 is a number to every reader.
  if (typeof value === 'number') return String(value).replace(/^(-?\d+)e/, '$1.0e');
  if (Array.isArray(value)) return `[${value.join(', ')}]`;
  // JSON on one line is YAML too; a template has many lines.
  if (typeof value === 'object' || (typeof value === 'string' && value.includes('\n'))) return JSON.stringify(value);
  return stringify(value, { lineWidth: 0, singleQuote: false }).trimEnd();
}

/** Entries whose keys are a run file's. @throws `bad-config` that names every other one with the nearest valid one */
function withKnownKeys<T>(entries: readonly (readonly [string, T])[], where: string): (readonly [RunConfigKey, T])[] {
  const known = entries.filter((entry): entry is [RunConfigKey, T] => KEY_NAMES.some((name) => name === entry[0]));
  const unknown = entries.map(([found]) => found).filter((found) => !KEY_NAMES.some((name) => name === found));
  if (unknown.length === 0) return known;
  const [first, ...more] = unknown.slice(0, MAX_NAMED).map((found) => {
    const shown = /^[\w-]+$/.test(found) ? shorten(found, MAX_SHOWN) : quote(found);
    return { shown, valid: nearest(found.slice(0, MAX_SHOWN), KEY_NAMES) };
  });
  const others = more.map(({ shown, valid }) => `, nor is ${shown} a key (nearest: ${valid})`).join('');
  const rest = unknown.length > MAX_NAMED ? `, nor are ${unknown.length - MAX_NAMED} more` : '';
  throw new GraftError(
    'bad-config',
    `${where} has the unknown key ${first!.shown}; the nearest valid one is ${first!.valid}${others}${rest}.`,
  );
}

/**
 * An override means what it would mean in the file, or, where that doesn't fit (`--dataset 42`) or is no value at all
 * (`--dataset '*.jsonl'`, which is an alias there), itself as text.
 */
function readOverride(name: RunConfigKey, value: string): unknown {
  const scalar = readScalar(value);
  if (scalar !== undefined && v.is(KEYS[name].schema, scalar)) return scalar;
  return scalar === undefined || v.is(KEYS[name].schema, value) ? value : scalar;
}

function check(name: RunConfigKey, value: unknown, file: string): unknown {
  const result = v.safeParse(KEYS[name].schema, value);
  if (result.success) return result.output;
  const refusal = describeRefusal(name, result.issues[0].message, quote(value), value);
  throw new GraftError('bad-config', `${file}: ${refusal}`);
}

/**
 * What a text means as the value of a key, as it would on a command line; an empty one leaves out a key that may be absent.
 * @throws `bad-config` that quotes the text as it was typed, and says what to write
 */
export function readRunValue<K extends RunConfigKey>(name: K, typed: string): RunConfig[K] {
  const text = typed.trim();
  const value = text === '' && KEYS[name].fallback === undefined ? undefined : readOverride(name, text);
  const result = v.safeParse(KEYS[name].schema, value);
  if (result.success) return result.output as RunConfig[K];
  const shown =
    text === '' ? 'empty' : /^[-+]?[\d.]+(e[-+]?\d+)?$/i.test(text) ? shorten(text, MAX_SHOWN) : quote(text);
  throw new GraftError('bad-config', describeRefusal(name, result.issues[0].message, shown, text));
}

/** `shown` is the value as the message quotes it. A text in place of a number gets a number as an example. */
function describeRefusal(name: RunConfigKey, expected: string, shown: string, value: unknown): string {
  const start = `${name} must be ${expected}, but is ${shown}`;
  const { fallback } = KEYS[name];
  if (typeof value !== 'string' || typeof fallback !== 'number' || /^[-+]?[\d.]+(e[-+]?\d+)?$/i.test(value)) {
    return `${start}.`;
  }
  // Half of the world writes 0,005.
  const withPoint = /^[-+]?\d*,\d+(e[-+]?\d+)?$/i.test(value.trim()) ? value.trim().replace(',', '.') : undefined;
  if (withPoint !== undefined && v.is(KEYS[name].schema, Number(withPoint))) {
    return `${start}: write it with a point, ${withPoint}.`;
  }
  return `${start}: write a number such as ${formatValue(fallback)}.`;
}
