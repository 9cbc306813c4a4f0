/** The run as LLaMA-Factory takes it: conversations in OpenAI's shape, and its template read from the tokenizer's. */
import { GraftError } from '../../core/errors';
import {
  PARTS,
  refuseOtherThanLora,
  targetsOf,
  textFile,
  wholeAlpha,
  withoutCounterpart,
  withoutKey,
  yamlFile,
  type Handoff,
  type HandoffPlan,
} from './plan';
import { trainingArguments } from './training-arguments';

const NAME = 'LLaMA-Factory';
const FILE = 'llamafactory.yaml';
const ROLES = ['system', 'user', 'assistant'];

/** A row with its turns in order; undefined for rows of text or tokens, which have none. */
export interface Turns {
  readonly where: string;
  readonly messages: readonly { readonly role: string; readonly content: string }[] | undefined;
  /** Whether every answer is trained. */
  readonly isTrainedWhole: boolean;
}

/** @throws `unsupported` for what LLaMA-Factory can't train, naming the first row that it couldn't read */
export function llamaFactoryHandoff(plan: HandoffPlan, train: readonly Turns[], test: readonly Turns[]): Handoff {
  const { run } = plan;
  refuseOtherThanLora(run, NAME);
  refuseOwnTemplate(plan);
  const values = {
    stage: 'sft',
    do_train: true,
    finetuning_type: run.use_peft ? 'lora' : 'full',
    model_name_or_path: run.use_peft ? plan.model : PARTS.model,
    model_revision: run.use_peft ? plan.revision : undefined,
    ...(run.use_peft && loraSettings(plan)),
    ...(run.load_in_4bit && {
      quantization_bit: 4,
      quantization_type: run.bnb_4bit_quant_type,
      double_quantization: run.use_bnb_nested_quant,
    }),
    dataset_dir: PARTS.data,
    dataset: 'graft_train',
    eval_dataset: plan.hasTest ? 'graft_test' : undefined,
    cutoff_len: run.max_length,
    train_on_prompt: !run.assistant_only_loss,
    packing: run.packing,
    // Else packed rows see each other.
    neat_packing: run.packing || undefined,
    output_dir: 'llamafactory-output',
    disable_gradient_checkpointing: !run.gradient_checkpointing,
    disable_shuffling: run.shuffle ? undefined : true,
    ...trainingArguments(plan, true),
  };
  const sets = {
    graft_train: ['train.json', train],
    ...(plan.hasTest && { graft_test: ['test.json', test] }),
  } as Record<string, [string, readonly Turns[]]>;
  const info = Object.fromEntries(Object.entries(sets).map(([name, [file]]) => [name, { file_name: file, ...SHAPE }]));
  return {
    files: [
      yamlFile(FILE, `llamafactory-cli train ${FILE}`, values),
      textFile(`${PARTS.data}/dataset_info.json`, `${JSON.stringify(info, null, 2)}\n`),
      ...Object.values(sets).map(([file, rows]) => {
        return textFile(`${PARTS.data}/${file}`, `${JSON.stringify(rows.map(conversation), null, 1)}\n`);
      }),
    ],
    commands: [`llamafactory-cli train ${FILE}`],
    leftOut: [
      'It goes on from what was learned so far, in the steps that are left, with a schedule and moments of its own.',
      "It renders the conversations itself, by what it reads from the tokenizer's chat template: compare its first rows with graft data.",
      ...withoutKey(run, NAME, ['layers_to_transform', 'trainable_token_indices', 'ensure_weight_tying']),
      ...withoutCounterpart(run),
    ],
  };
}

/** It renders through what it reads of the base model, or of the folder where every parameter is trained, alone. */
function refuseOwnTemplate({ run, hasOwnTemplate }: HandoffPlan): void {
  const hasVariables = Object.keys(run.chat_template_kwargs ?? {}).length > 0;
  if (!hasVariables && !(run.use_peft && hasOwnTemplate)) return;
  throw new GraftError(
    'unsupported',
    `The run has ${hasVariables ? 'chat_template_kwargs' : 'a chat template of its own'}, which ${NAME} can't be told: hand ` +
      'the run to accelerate or axolotl, which take the tokens as they are.',
  );
}

const SHAPE = {
  formatting: 'sharegpt',
  columns: { messages: 'messages' },
  tags: {
    role_tag: 'role',
    content_tag: 'content',
    user_tag: 'user',
    assistant_tag: 'assistant',
    system_tag: 'system',
  },
};

function conversation({ where, messages, isTrainedWhole }: Turns): { messages: unknown } {
  const why = !messages
    ? 'is no conversation'
    : !messages.every(({ role }) => ROLES.includes(role))
      ? `has a turn of ${messages.find(({ role }) => !ROLES.includes(role))!.role}`
      : !isTrainedWhole
        ? 'has an answer that is not trained'
        : !alternates(messages.map(({ role }) => role))
          ? 'has turns other than question and answer in alternation, up to an answer'
          : undefined;
  if (why === undefined) return { messages };
  throw new GraftError(
    'unsupported',
    `${where} ${why}, which ${NAME} can't be told: hand the run to accelerate, which takes the tokens as they are.`,
  );
}

/** Whether it takes the turns: others it skips, with a warning among many. */
function alternates(roles: readonly string[]): boolean {
  const turns = roles[0] === 'system' ? roles.slice(1) : roles;
  return turns.length % 2 === 0 && turns.every((role, i) => role === (i % 2 === 0 ? 'user' : 'assistant'));
}

function loraSettings({ run }: HandoffPlan) {
  return {
    adapter_name_or_path: PARTS.adapter,
    lora_rank: run.lora_r,
    lora_alpha: wholeAlpha(run, NAME),
    lora_dropout: run.lora_dropout,
    lora_target: targetsOf(run).join(','),
    additional_target: run.lora_modules_to_save?.join(','),
    use_rslora: run.use_rslora,
    use_dora: run.use_dora,
  };
}
