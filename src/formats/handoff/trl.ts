/** The run as `trl sft` takes it: SFTConfig, ModelConfig and ScriptArguments of TRL in one YAML file. */
import {
  PARTS,
  refuseOtherThanLora,
  targetsOf,
  templateToCopy,
  wholeAlpha,
  withoutCounterpart,
  withoutKey,
  yamlFile,
  type Handoff,
  type HandoffPlan,
} from './plan';
import { trainingArguments } from './training-arguments';

const NAME = 'TRL';
const FILE = 'trl.yaml';

/** @throws `unsupported` for what TRL's command can't train */
export function trlHandoff(plan: HandoffPlan): Handoff {
  const { run } = plan;
  refuseOtherThanLora(run, NAME);
  // Its command makes a new adapter always.
  const goesOn = !run.use_peft;
  const values = {
    model_name_or_path: run.use_peft ? plan.model : PARTS.model,
    model_revision: run.use_peft ? plan.revision : undefined,
    dtype: run.use_peft ? run.dtype : 'float32',
    dataset_name: PARTS.data,
    dataset_test_split: plan.hasTest ? 'test' : undefined,
    output_dir: 'trl-output',
    ...(run.use_peft && loraSettings(plan)),
    ...(run.load_in_4bit && {
      load_in_4bit: true,
      bnb_4bit_quant_type: run.bnb_4bit_quant_type,
      use_bnb_nested_quant: run.use_bnb_nested_quant,
    }),
    max_length: run.max_length,
    packing: run.packing,
    gradient_checkpointing: run.gradient_checkpointing,
    ...trainingArguments(plan, goesOn),
  };
  const begins = goesOn
    ? 'It goes on from the weights so far, in the steps that are left, with a schedule and moments of its own.'
    : 'It trains a new adapter over all steps: the command of TRL can not go on from one.';
  return {
    files: [yamlFile(FILE, `trl sft --config ${FILE}`, values)],
    commands: [`trl sft --config ${FILE}`],
    leftOut: [
      begins,
      ...withoutKey(run, NAME, ['layers_to_transform', 'trainable_token_indices', 'ensure_weight_tying']),
      ...(run.packing
        ? [
            `${NAME} packs rows of tokens without what is masked in some versions, and keeps them apart with FlashAttention ` +
              '(attn_implementation) alone: hand the run to accelerate where that matters.',
          ]
        : []),
      ...withoutCounterpart(run),
      ...templateToCopy(plan),
      ...(run.shuffle ? [] : [`${NAME} shuffles the rows, which this run keeps in their order.`]),
    ],
  };
}

function loraSettings({ run }: HandoffPlan) {
  return {
    use_peft: true,
    lora_r: run.lora_r,
    lora_alpha: wholeAlpha(run, NAME),
    lora_dropout: run.lora_dropout,
    lora_target_modules: targetsOf(run),
    lora_modules_to_save: run.lora_modules_to_save,
    use_rslora: run.use_rslora,
    use_dora: run.use_dora,
  };
}
