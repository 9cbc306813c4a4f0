/** A run file and a model to the engine's options. */
import type { RunConfig } from '../../core/config';
import type { WeightDType } from '../../core/dtypes';
import { GraftError } from '../../core/errors';
import type { DecoderSpec, LoraSpec } from '../../core/spec';
import { decodeUtf8, type FileSource } from '../../core/store';
import type { TrainOptions } from '../../engine';
import { readSpec } from '../../formats/model';
import { resolveTargetModules } from '../../formats/peft';

/** The part of a model that fixes shapes; a `HubModel` is one. */
export interface ShapedModel {
  readonly spec: DecoderSpec;
  /** How most of the weights are stored. */
  readonly weightDType: WeightDType;
}

/**
 * What a model folder's config.json says of its shape, where the weights themselves may be elsewhere.
 * @throws `not-found`, `bad-config`, `unsupported`.
 */
export async function openShape(source: FileSource): Promise<ShapedModel> {
  const spec = await readSpec(source);
  const config = JSON.parse(decodeUtf8(await source.read('config.json'))) as Record<string, unknown>;
  const stored = Object.entries(DTYPES).find(([name]) => name === (config['dtype'] ?? config['torch_dtype']));
  return { spec, weightDType: stored?.[1] ?? 'f32' };
}

const DTYPES: Readonly<Record<Exclude<RunConfig['dtype'], 'auto'>, WeightDType>> = {
  float32: 'f32',
  float16: 'f16',
  bfloat16: 'bf16',
};

/** How base weights are kept on the GPU: as stored, or as the run says. */
export function chooseWeightDType(dtype: RunConfig['dtype'], stored: WeightDType): WeightDType {
  return dtype === 'auto' ? stored : DTYPES[dtype];
}

/** Throws `unsupported` for values that are well formed and that Graft doesn't do yet. */
export function refuseUnsupported(run: RunConfig): void {
  const refuse = (setting: string, instead: string) =>
    new GraftError('unsupported', `${setting} is not supported yet: set ${instead}.`);
  if (run.load_in_4bit) throw refuse('load_in_4bit: true', 'load_in_4bit: false');
  if (run.optim === 'adamw_8bit') throw refuse('optim: adamw_8bit', 'optim: adamw');
}

/** The adapter of a run, or undefined where every parameter is trained. */
export function loraOf(run: RunConfig, spec: DecoderSpec): LoraSpec | undefined {
  if (!run.use_peft) return undefined;
  return {
    r: run.lora_r,
    alpha: run.lora_alpha,
    dropout: run.lora_dropout,
    targetModules: resolveTargetModules(run.lora_target_modules, spec),
    useRslora: run.use_rslora,
    useDora: run.use_dora,
  };
}

/** `lengths` are the padded lengths that batches may have, ascending. */
export function trainOptions(run: RunConfig, model: ShapedModel, lengths: readonly number[]): TrainOptions {
  refuseUnsupported(run);
  const lora = loraOf(run, model.spec);
  return {
    spec: model.spec,
    weightDType: lora ? chooseWeightDType(run.dtype, model.weightDType) : 'f32',
    ...(lora && { lora }),
    seed: run.seed,
    batchSize: run.per_device_train_batch_size,
    lengths,
    packing: run.packing,
    gradientCheckpointing: run.gradient_checkpointing,
    adamw: {
      beta1: run.adam_beta1,
      beta2: run.adam_beta2,
      epsilon: run.adam_epsilon,
      weightDecay: run.weight_decay,
    },
    maxGradNorm: run.max_grad_norm,
  };
}
