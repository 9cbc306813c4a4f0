/** The run as Axolotl takes it: one YAML file on rows of tokens, from the adapter so far. */
import {
  optimizerSettings,
  PARTS,
  peakFrom,
  refuseOtherThanLora,
  schedulerArguments,
  targetsOf,
  templateToCopy,
  warmupLeft,
  wholeAlpha,
  withoutCounterpart,
  yamlFile,
  type Handoff,
  type HandoffPlan,
} from './plan';

const NAME = 'Axolotl';
const FILE = 'axolotl.yaml';

/** @throws `unsupported` for what Axolotl can't train */
export function axolotlHandoff(plan: HandoffPlan): Handoff {
  const { run } = plan;
  refuseOtherThanLora(run, NAME);
  // Rows of tokens have no type.
  const dataset = (path: string) => ({ path, ds_type: 'json', split: 'train', type: null });
  const values = {
    base_model: run.use_peft ? plan.model : PARTS.model,
    revision_of_model: run.use_peft ? plan.revision : undefined,
    ...(run.use_peft && loraSettings(plan)),
    load_in_4bit: run.load_in_4bit,
    datasets: [dataset(PARTS.train)],
    test_datasets: plan.hasTest ? [dataset(PARTS.test)] : undefined,
    val_set_size: plan.hasTest ? undefined : 0,
    output_dir: './axolotl-output',
    sequence_len: run.max_length,
    sample_packing: run.packing,
    // It refuses few held-out rows where they are packed.
    eval_sample_packing: run.packing ? false : undefined,
    micro_batch_size: run.per_device_train_batch_size,
    gradient_accumulation_steps: run.gradient_accumulation_steps,
    gradient_checkpointing: run.gradient_checkpointing,
    max_steps: plan.totalSteps - plan.stepsDone,
    learning_rate: peakFrom(plan),
    lr_scheduler: run.lr_scheduler_type,
    lr_scheduler_kwargs: schedulerArguments(run),
    warmup_steps: warmupLeft(plan),
    optimizer: run.optim === 'adamw' ? 'adamw_torch' : 'adamw_bnb_8bit',
    ...optimizerSettings(run),
    bf16: run.use_peft && run.dtype === 'bfloat16' ? 'auto' : false,
    eval_steps: plan.hasTest ? run.eval_steps : undefined,
    logging_steps: run.logging_steps,
    save_steps: run.save_steps,
    seed: run.seed,
  };
  return {
    files: [yamlFile(FILE, `axolotl train ${FILE}`, values)],
    commands: [`axolotl train ${FILE}`],
    leftOut: [
      'It goes on from what was learned so far, in the steps that are left, with a schedule and moments of its own.',
      ...(run.packing
        ? [`Packed rows see each other in ${NAME} unless flash_attention: true is added, which needs that package.`]
        : []),
      ...withoutCounterpart(run),
      ...templateToCopy(plan),
      ...(run.shuffle ? [] : [`${NAME} shuffles the rows, which this run keeps in their order.`]),
    ],
  };
}

function loraSettings({ run }: HandoffPlan) {
  return {
    adapter: run.load_in_4bit ? 'qlora' : 'lora',
    lora_model_dir: PARTS.adapter,
    lora_r: run.lora_r,
    lora_alpha: wholeAlpha(run, NAME),
    lora_dropout: run.lora_dropout,
    lora_target_modules: targetsOf(run),
    lora_modules_to_save: run.lora_modules_to_save,
    peft_layers_to_transform: run.layers_to_transform,
    peft_trainable_token_indices: run.trainable_token_indices,
    peft_ensure_weight_tying: run.ensure_weight_tying || undefined,
    peft_use_rslora: run.use_rslora,
    peft_use_dora: run.use_dora,
  };
}
