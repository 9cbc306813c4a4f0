/** The run as a script on Transformers, PEFT and Accelerate, which goes on with it step by step. */
import type { WeightTensor } from '../../core/weights';
import { writeSafetensors } from '../safetensors';
import script from './continue.py?raw';
import { textFile, withoutCounterpart, type Handoff, type HandoffPlan } from './plan';

const SCRIPT = 'continue.py';

/** A step that is left to do. */
export interface StepToDo {
  /** Counted from 1. */
  readonly step: number;
  readonly epoch: number;
  readonly learning_rate: number;
  /** Rows of the training file, counted from 0. */
  readonly rows: readonly number[];
  /** Whether the held-out rows are evaluated after it. */
  readonly evaluate: boolean;
}

export interface Continuation {
  /** Where the run stands, in epochs. */
  readonly epoch: number;
  /** Whether the held-out rows are due before the first of the steps. */
  readonly evaluateFirst: boolean;
  readonly steps: readonly StepToDo[];
  /** AdamW's moments in f32, as `NAME.exp_avg` and `NAME.exp_avg_sq`; none where they are kept in 8 bits. */
  readonly moments: readonly WeightTensor[];
  /** What Transformers' Trainer keeps of a run, with its log so far. */
  readonly trainerState: object;
  /** The id of the token that rows are padded with. */
  readonly padTokenId: number;
  /** Files of the trained folder that belong beside what comes out. */
  readonly copies: readonly string[];
}

export function accelerateHandoff(plan: HandoffPlan, continuation: Continuation): Handoff {
  const { run } = plan;
  const { epoch, evaluateFirst, steps, moments, trainerState, padTokenId, copies } = continuation;
  const settings = {
    model: plan.model,
    revision: plan.revision ?? 'main',
    dtype: run.dtype,
    use_peft: run.use_peft,
    load_in_4bit: run.load_in_4bit,
    bnb_4bit_quant_type: run.bnb_4bit_quant_type,
    use_bnb_nested_quant: run.use_bnb_nested_quant,
    step: plan.stepsDone,
    epoch,
    evaluate_first: evaluateFirst,
    per_device_train_batch_size: run.per_device_train_batch_size,
    gradient_checkpointing: run.gradient_checkpointing,
    adam_beta1: run.adam_beta1,
    adam_beta2: run.adam_beta2,
    adam_epsilon: run.adam_epsilon,
    weight_decay: run.weight_decay,
    max_grad_norm: run.max_grad_norm,
    seed: run.seed,
    pad: padTokenId,
    copies,
    output_dir: 'accelerate-output',
  };
  const dropout = run.use_peft && run.peft_type === 'LORA' && run.lora_dropout > 0;
  return {
    files: [
      textFile(SCRIPT, script),
      textFile('handoff.json', `${JSON.stringify(settings, null, 2)}\n`),
      textFile('steps.jsonl', steps.map((step) => `${JSON.stringify(step)}\n`).join('')),
      textFile('trainer_state.json', `${JSON.stringify(trainerState, null, 2)}\n`),
      ...(moments.length > 0
        ? [{ path: 'optimizer.safetensors', bytes: writeSafetensors(moments, { format: 'pt' }) }]
        : []),
    ],
    commands: [`accelerate launch --num_processes 2 ${SCRIPT}`],
    leftOut: [
      ...(dropout
        ? ['Dropout is drawn by PyTorch from here on, so that losses are near those of Graft and not the same.']
        : []),
      ...(moments.length > 0
        ? []
        : [
            "The optimiser's moments in 8 bits have no counterpart there: AdamW goes on in 32 bits, and its moments begin anew.",
          ]),
      ...withoutCounterpart(run),
    ],
  };
}
