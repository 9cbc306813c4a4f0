/** What Transformers' TrainingArguments say of a run, which the configurations of TRL and LLaMA-Factory extend. */
import { optimizerSettings, peakFrom, schedulerArguments, warmupLeft, type HandoffPlan } from './plan';

/** Its steps from where it stands, with a schedule towards the same peak; or all of them. */
export function trainingArguments(plan: HandoffPlan, goesOn: boolean) {
  const { run } = plan;
  return {
    per_device_train_batch_size: run.per_device_train_batch_size,
    gradient_accumulation_steps: run.gradient_accumulation_steps,
    max_steps: goesOn ? plan.totalSteps - plan.stepsDone : plan.totalSteps,
    learning_rate: goesOn ? peakFrom(plan) : run.learning_rate,
    lr_scheduler_type: run.lr_scheduler_type,
    lr_scheduler_kwargs: schedulerArguments(run),
    warmup_steps: goesOn ? warmupLeft(plan) : plan.warmupSteps,
    // SFTConfig takes it to be true where it is left out.
    bf16: run.use_peft && run.dtype === 'bfloat16',
    optim: run.optim === 'adamw' ? 'adamw_torch' : 'adamw_bnb_8bit',
    ...optimizerSettings(run),
    eval_strategy: plan.hasTest ? 'steps' : 'no',
    eval_steps: plan.hasTest ? run.eval_steps : undefined,
    logging_steps: run.logging_steps,
    save_steps: run.save_steps,
    seed: run.seed,
  };
}
