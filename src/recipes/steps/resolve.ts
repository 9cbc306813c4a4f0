/** A run file as it will really be run: what `auto` and `all-linear` mean for the model, what an adapter brings along. */
import { parseRunConfig, type RunConfig, type RunConfigKey } from '../../core/config';
import { evaluationSteps } from '../../core/evaluation-steps';
import type { FloatDType } from '../../core/dtypes';
import { GraftError } from '../../core/errors';
import { quote } from '../../core/format';
import { sha256 } from '../../core/hash';
import type { DecoderSpec } from '../../core/spec';
import type { FileSource } from '../../core/store';
import { checkAdapter, resolveTargetModules, type Adapter } from '../../formats/peft';
import { effectiveMaxLength, type DatasetFile, type PreparedData } from './data';
import { digestLine, digestOf, type WeightSource } from './loading';
import { rowsPerStep } from './micro-batch';
import { chooseWeightDType, targetModules, type ShapedModel } from './options';
import type { FinishedRun } from './outputs';
import { KEYS_OF_LORA, KEYS_OF_PROMPTS, tunesPrompt } from './prompt-tuning';

const DTYPE_NAMES: Readonly<Record<FloatDType, RunConfig['dtype']>> = {
  f32: 'float32',
  f16: 'float16',
  bf16: 'bfloat16',
};

/**
 * Every choice that the run leaves to the model, made; doing it twice changes nothing. An adapter to start from brings
 * its own shape, as in PEFT's `from_pretrained(..., is_trainable=True)`.
 * @throws `bad-config` or `bad-file` where adapter and model don't fit.
 */
export function resolveRun(
  run: RunConfig,
  model: ShapedModel,
  adapter?: { name: string; content: Adapter },
): RunConfig {
  const dtype = run.use_peft ? chooseWeightDType(run.dtype, model.weightDType) : 'f32';
  const resolved: RunConfig = {
    ...run,
    dtype: DTYPE_NAMES[dtype],
    max_length: effectiveMaxLength(run, model.spec),
    ...(!tunesPrompt(run) && { lora_target_modules: targetModules(run, model.spec) }),
  };
  if (!adapter) return resolved;
  if (!run.use_peft) {
    throw new GraftError('bad-config', 'use_peft: false trains every parameter and takes no adapter to start from.');
  }
  checkAdapter(adapter.name, adapter.content, model.spec);
  const { lora, prompt } = adapter.content;
  if (prompt) {
    return {
      ...resolved,
      ...withoutLora(),
      peft_type: 'PROMPT_TUNING',
      num_virtual_tokens: prompt.numVirtualTokens,
      prompt_tuning_init: prompt.initText === undefined ? 'RANDOM' : 'TEXT',
      prompt_tuning_init_text: prompt.initText,
    };
  }
  if (!lora) throw new Error('an adapter is LoRA or a prompt');
  if (tunesPrompt(run)) {
    throw new GraftError(
      'bad-config',
      `The adapter ${adapter.name} is LoRA, and the run trains a prompt: set peft_type: LORA to go on from it.`,
    );
  }
  if (lora.overrides) {
    throw new GraftError(
      'unsupported',
      `The adapter ${adapter.name} has other ranks or alphas in some modules (rank_pattern, alpha_pattern); it can be ` +
        'asked and merged, but training goes on from adapters with one rank and alpha only.',
    );
  }
  return {
    ...resolved,
    lora_r: lora.r,
    lora_alpha: lora.alpha,
    lora_dropout: lora.dropout,
    lora_target_modules: resolveTargetModules(lora.targetModules, model.spec),
    layers_to_transform: undefined,
    lora_modules_to_save: lora.modulesToSave && [...lora.modulesToSave],
    ensure_weight_tying: lora.ensureWeightTying ?? false,
    trainable_token_indices: lora.trainableTokens,
    use_rslora: lora.useRslora,
    use_dora: lora.useDora,
  };
}

/** LoRA's keys as they are in a run that has none. */
function withoutLora(): Partial<RunConfig> {
  const defaults = parseRunConfig('');
  return Object.fromEntries(KEYS_OF_LORA.map((key) => [key, defaults[key]]));
}

/** The run with the evaluations that it leaves open, where rows are held out for them. */
export function withEvaluations(run: RunConfig, { eval: held, totalSteps }: Pick<PreparedData, 'eval' | 'totalSteps'>) {
  return held.length > 0 ? { ...run, eval_steps: evaluationSteps(run, totalSteps) } : run;
}

/** What an adapter to go on from brings along. */
const ADAPTER_KEYS = [...KEYS_OF_LORA, ...KEYS_OF_PROMPTS] as const;

/** Those that say together which linears get one. */
const TARGET_KEYS: ReadonlySet<RunConfigKey> = new Set<RunConfigKey>(['lora_target_modules', 'layers_to_transform']);

/** Keys of how an adapter is made, which training every parameter leaves out. */
const KEYS_LEFT_OUT = [
  'lora_r',
  'lora_alpha',
  'lora_dropout',
  'lora_target_modules',
  'use_rslora',
  'use_dora',
] as const satisfies readonly RunConfigKey[];

/**
 * What of the run as it was asked for isn't done, a sentence each: what an adapter to go on from has otherwise, or none has.
 * `given` are the keys that were set, though to their defaults.
 */
export function adapterNotices(
  asked: RunConfig,
  resolved: RunConfig,
  spec: DecoderSpec,
  given?: ReadonlySet<RunConfigKey>,
): string[] {
  const defaults = parseRunConfig('');
  const isSet = (key: RunConfigKey) => given?.has(key) === true || !isSame(asked[key], defaults[key]);
  if (!asked.use_peft) {
    const unused = KEYS_LEFT_OUT.filter(isSet);
    return unused.length === 0
      ? []
      : [`use_peft: false trains every parameter, and leaves out what is of an adapter: ${unused.join(', ')}.`];
  }
  if (asked.peft_type !== resolved.peft_type) {
    const left = KEYS_OF_LORA.filter(isSet);
    const leaves = left.length > 0 ? `, and leaves out what is of LoRA: ${left.join(', ')}` : '';
    return [`peft_type is ${resolved.peft_type}, as the adapter to go on from has it${leaves}.`];
  }
  const sameTargets = isSame(targetModules(asked, spec), targetModules(resolved, spec));
  const isKept = (key: RunConfigKey) => isSame(asked[key], resolved[key]) || (sameTargets && TARGET_KEYS.has(key));
  const changed = ADAPTER_KEYS.filter((key) => isSet(key) && !isKept(key));
  return changed.map((key) => {
    const absent = key === 'layers_to_transform' ? 'that of its modules' : 'none';
    return `${key} is ${shown(resolved[key] ?? absent)}, as the adapter to go on from has it, instead of ${shown(asked[key])}.`;
  });
}

/** A value as a sentence has it. */
const shown = (value: RunConfig[RunConfigKey]): string =>
  typeof value === 'object' && !Array.isArray(value) ? JSON.stringify(value) : String(value);

/** Lists are the same in any order. */
function isSame(one: unknown, other: unknown): boolean {
  const text = (value: unknown) => JSON.stringify(Array.isArray(value) ? value.map(String).sort() : value);
  return text(one) === text(other);
}

/** The run with the commit that its model came from, where it came from the Hub: a branch moves on, a commit doesn't. */
export function pinRevision(run: RunConfig, { commit }: Pick<FileSource, 'commit'>): RunConfig {
  return commit === undefined ? run : { ...run, revision: commit };
}

/** Keys that may differ when a run goes on: they don't reach its weights, or are checked by content. */
const FREE_KEYS = new Set<RunConfigKey>([
  'model_name_or_path',
  'revision',
  'dataset',
  'output_dir',
  'logging_steps',
  'save_steps',
  'save_seconds',
]);

/** Keys that may differ as long as their product is the same: an optimiser step keeps its rows. */
const SPLIT_KEYS: ReadonlySet<RunConfigKey> = new Set<RunConfigKey>([
  'per_device_train_batch_size',
  'gradient_accumulation_steps',
]);

/** Throws `bad-config` naming the first key in which a run differs from the one that left the checkpoint or the result. */
export function checkSameRun(run: RunConfig, started: RunConfig): void {
  const sameRows = rowsPerStep(run) === rowsPerStep(started);
  for (const key of Object.keys(run) as RunConfigKey[]) {
    if (key === 'eval_steps' && run[key] === undefined) continue; // it follows from the others, then
    if (FREE_KEYS.has(key) || (sameRows && SPLIT_KEYS.has(key))) continue;
    if (JSON.stringify(run[key]) === JSON.stringify(started[key])) continue;
    throw new GraftError(
      'bad-config',
      `${key} is ${quote(run[key])}, but the run to resume was started with ${quote(started[key])}: ` +
        'resume it with the settings it was started with, or start anew.',
    );
  }
}

/**
 * Throws `bad-config` where a run isn't the one that has finished in its folder. A model under another name is read whole
 * and held against the one that was trained.
 */
export async function checkFinished(
  finished: FinishedRun,
  run: RunConfig,
  model: WeightSource,
  dataset: DatasetFile,
): Promise<void> {
  if (!finished.run) return;
  checkSameRun(run, finished.run);
  const renamed = run.model_name_or_path !== finished.run.model_name_or_path || run.revision !== finished.run.revision;
  const changed =
    (await sha256(dataset.bytes)) !== finished.datasetHash
      ? 'dataset'
      : renamed && (await digestOfModel(model)) !== finished.modelHash
        ? 'model'
        : undefined;
  if (changed === undefined) return;
  throw new GraftError(
    'bad-config',
    `The ${changed} is not the one that the finished run in this folder was trained with: give it the same ${changed}, or ` +
      'start anew.',
  );
}

/** Throws `bad-file` where a finished run has lost what it was for. */
export function refuseIncomplete({ missing }: Pick<FinishedRun, 'missing'>, folder: string): void {
  if (missing.length === 0) return;
  throw new GraftError(
    'bad-file',
    `The run in ${folder} has finished, and ${missing.join(', ')} of it ${missing.length === 1 ? 'is' : 'are'} gone: bring ` +
      'back what was deleted, or start anew.',
  );
}

async function digestOfModel(model: WeightSource): Promise<string> {
  const lines: string[] = [];
  for await (const slice of model.weights()) lines.push(await digestLine(slice));
  return digestOf(lines);
}
