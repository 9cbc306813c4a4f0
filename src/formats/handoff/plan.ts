/** What is handed to another trainer: a run, where it stands, and how its rows and weights lie in the folder. */
import { stringify } from 'yaml';
import type { RunConfig } from '../../core/config';
import { GraftError } from '../../core/errors';
import { encodeUtf8 } from '../../core/store';
import { TEMPLATE_FILE } from '../saved-template';

/** The folder's own parts, by their paths in it. */
export const PARTS = {
  data: 'data',
  train: 'data/train.jsonl',
  test: 'data/test.jsonl',
  adapter: 'adapter',
  model: 'model',
};

export interface HandoffPlan {
  /** As resolved: modules by their names, a dtype that isn't auto. */
  readonly run: RunConfig;
  /** The base model as `from_pretrained` takes it: an id of the Hub, or a path. */
  readonly model: string;
  readonly revision: string | undefined;
  readonly stepsDone: number;
  readonly totalSteps: number;
  /** Steps of warm-up of the whole run. */
  readonly warmupSteps: number;
  /** The learning rate of the next step. */
  readonly learningRate: number;
  /** Whether rows are held out. */
  readonly hasTest: boolean;
  /** Whether the rows went through another chat template than that of the base model. */
  readonly hasOwnTemplate: boolean;
}

export interface HandoffFile {
  /** A path in the folder. */
  readonly path: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** What a trainer gets. */
export interface Handoff {
  readonly files: readonly HandoffFile[];
  /** How it is started, in the folder. */
  readonly commands: readonly string[];
  /** What of the run it can't do, or does otherwise, a sentence each. */
  readonly leftOut: readonly string[];
}

export function textFile(path: string, text: string): HandoffFile {
  return { path, bytes: new Uint8Array(encodeUtf8(text)) };
}

/** A YAML file. Keys without a value are left out, and numbers and texts are such to YAML 1.1 readers, too. */
export function yamlFile(path: string, comment: string, values: Readonly<Record<string, unknown>>): HandoffFile {
  const given = Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
  // PyYAML reads YAML 1.1, in which 2e-5 is text, and `on` and 2024_01 are none.
  const text = stringify(given, { lineWidth: 0, version: '1.1' }).replace(/(: )(-?\d+)(e[-+]?\d+)$/gm, '$1$2.0$3');
  return textFile(path, `# ${comment}\n${text}`);
}

/** Steps of warm-up that are still to come. */
export function warmupLeft({ warmupSteps, stepsDone }: HandoffPlan): number {
  return Math.max(0, warmupSteps - stepsDone);
}

/** The peak of the schedule from here on. */
export function peakFrom(plan: HandoffPlan): number {
  return warmupLeft(plan) > 0 || plan.learningRate === 0 ? plan.run.learning_rate : plan.learningRate;
}

/** AdamW under the names of Transformers' TrainingArguments, which all of them know. */
export function optimizerSettings(run: RunConfig) {
  return {
    adam_beta1: run.adam_beta1,
    adam_beta2: run.adam_beta2,
    adam_epsilon: run.adam_epsilon,
    weight_decay: run.weight_decay,
    max_grad_norm: run.max_grad_norm,
  };
}

/** What the schedule takes beside its name. */
export function schedulerArguments(run: RunConfig): Readonly<Record<string, number>> | undefined {
  return run.lr_scheduler_type === 'polynomial' ? { lr_end: run.lr_end, power: run.power } : undefined;
}

/** The linears that the adapter has. */
export function targetsOf({ lora_target_modules: modules }: RunConfig): readonly string[] {
  if (typeof modules === 'string') throw new Error('a run that is handed on names its modules');
  return modules;
}

/** @throws `unsupported` for an adapter that only PEFT itself knows */
export function refuseOtherThanLora({ use_peft, peft_type }: RunConfig, trainer: string): void {
  if (!use_peft || peft_type === 'LORA') return;
  throw new GraftError('unsupported', `${trainer} trains no ${peft_type}: hand the run to accelerate, which does.`);
}

/** @throws `unsupported` for an alpha that a trainer's schema doesn't take */
export function wholeAlpha({ lora_alpha }: RunConfig, trainer: string): number {
  if (Number.isInteger(lora_alpha)) return lora_alpha;
  throw new GraftError(
    'unsupported',
    `${trainer} takes whole numbers for lora_alpha, which is ${lora_alpha}: hand the run to accelerate, which takes any.`,
  );
}

/** What no trainer has that goes on with this run: a sentence each. */
export function withoutCounterpart(run: RunConfig): string[] {
  const rounded = [
    ...(run.use_peft && run.embedding_dtype === 'q8' ? ['embedding_dtype: q8'] : []),
    ...(run.gradient_checkpointing && run.checkpoint_dtype === 'bfloat16' ? ['checkpoint_dtype: bfloat16'] : []),
  ];
  return [
    ...rounded.map(
      (key) => `${key} has no counterpart there, so that losses are near those of Graft and not the same.`,
    ),
    ...(run.early_stopping_patience > 0
      ? ['It stops early for no loss: all steps are trained, and the last weights kept.']
      : []),
  ];
}

/** Of a trainer that writes its adapter without the template: what has to lie beside it. */
export function templateToCopy({ run, hasOwnTemplate }: HandoffPlan): string[] {
  return run.use_peft && hasOwnTemplate
    ? [
        `Copy ${PARTS.adapter}/${TEMPLATE_FILE} beside the adapter that comes out: it was trained through that template.`,
      ]
    : [];
}

/** A sentence for each key that is set and that the trainer has none for. */
export function withoutKey(run: RunConfig, trainer: string, keys: readonly (keyof RunConfig)[]): string[] {
  return keys
    .filter((key) => run[key] !== undefined && run[key] !== false)
    .map((key) => `${trainer} has no ${key}, which this run sets.`);
}
