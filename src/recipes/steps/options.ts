/** A run file and a model to the engine's options. */
import type { AdapterSpec } from '../../core/adapter';
import { parseRunConfig, type RunConfig, type RunConfigKey } from '../../core/config';
import type { FloatDType } from '../../core/dtypes';
import { GraftError } from '../../core/errors';
import { canQuantize } from '../../core/quantization';
import {
  allLinears,
  EMBEDDING,
  HEAD,
  isSavedBy,
  layerLinears,
  moduleName,
  pathEnds,
  savedParameters,
  tokenRows,
  targetedLinears,
  type DecoderSpec,
  type LinearSpec,
  type LoraSpec,
} from '../../core/spec';
import { quote } from '../../core/format';
import type { FileSource } from '../../core/store';
import type { Tokenizer } from '../../core/text';
import type { ModelSetup, ObjectiveOptions, Quantization, TrainViewOptions } from '../../engine';
import { readInt4Config } from '../../formats/int4/config';
import { readObject } from '../../formats/json';
import { readSpec } from '../../formats/model';
import { resolveTargetModules } from '../../formats/peft';
import { promptOf, refuseOtherAdapters, tunesPrompt } from './prompt-tuning';
import { parseRunFile } from './records';

/** The part of a model that fixes shapes; a `HubModel` is one. */
export interface ShapedModel {
  readonly spec: DecoderSpec;
  /** How most of the weights are stored. */
  readonly weightDType: FloatDType;
  readonly tokenizer?: Tokenizer | undefined;
}

/**
 * What a model folder's config.json says of its shape, where the weights themselves may be elsewhere.
 * @throws `not-found`, `bad-config`, `unsupported`.
 */
export async function openShape(source: FileSource): Promise<ShapedModel> {
  const spec = await readSpec(source);
  const config = await readObject(source, 'config.json');
  // What is packed is read as f32, whatever its config.json says of the rest.
  if (config && readInt4Config(config, source.name)) return { spec, weightDType: 'f32' };
  const stored = Object.entries(DTYPES).find(([name]) => name === (config?.get('dtype') ?? config?.get('torch_dtype')));
  return { spec, weightDType: stored?.[1] ?? 'f32' };
}

const DTYPES: Readonly<Record<Exclude<RunConfig['dtype'], 'auto'>, FloatDType>> = {
  float32: 'f32',
  float16: 'f16',
  bfloat16: 'bf16',
};

/** How base weights are kept on the GPU: as stored, or as the run says. */
export function chooseWeightDType(dtype: RunConfig['dtype'], stored: FloatDType): FloatDType {
  return dtype === 'auto' ? stored : DTYPES[dtype];
}

/** The keys of a run that say how base weights are kept. */
export type WeightStorage = Partial<
  Pick<RunConfig, 'dtype' | 'load_in_4bit' | 'use_bnb_nested_quant' | 'embedding_dtype'>
>;

/** How the run whose folder this is kept its base weights; nothing where the folder is another program's. */
export async function weightStorage(folder: FileSource): Promise<WeightStorage> {
  if ((await folder.size('graft.json')) === undefined) return {};
  const { dtype, load_in_4bit, use_bnb_nested_quant, embedding_dtype } = parseRunFile(
    await folder.read('run.yaml'),
    `run.yaml in ${folder.name}`,
  );
  return { dtype, load_in_4bit, use_bnb_nested_quant, embedding_dtype };
}

/** Which base weights a run quantises: with `load_in_4bit` every linear of the layers, as QLoRA does. */
export function quantizationOf(run: WeightStorage): Quantization {
  return {
    ...(run.load_in_4bit && { linears: run.use_bnb_nested_quant ? 'nf4_nested' : 'nf4' }),
    ...(run.embedding_dtype === 'q8' && { embeddings: 'q8' }),
  };
}

/** Linears that stay in 16 bits though the run asks for 4: the kernels can't cut their shape into blocks. */
export function keptIn16Bits(run: RunConfig, spec: DecoderSpec): LinearSpec[] {
  if (!run.load_in_4bit) return [];
  return allLinears(spec).filter(({ outFeatures, inFeatures }) => !canQuantize([outFeatures, inFeatures]));
}

/** Throws `bad-config` for settings that exclude each other. */
export function refuseContradictions(run: RunConfig): void {
  refuseUnusedKeys(run);
  refuseOtherAdapters(run);
  const saved = run.use_peft ? undefined : KEYS_OF_ADAPTERS.find((name) => run[name]);
  if (saved) {
    throw new GraftError(
      'bad-config',
      `${saved} is for use_peft: true, and use_peft: false trains every parameter: take it out, or set use_peft: true.`,
    );
  }
  if (run.load_in_4bit && !run.use_peft) {
    throw new GraftError(
      'bad-config',
      "load_in_4bit: true keeps base weights in 4 bits, which can't be trained themselves: set use_peft: true, or load_in_4bit: false.",
    );
  }
  if (run.embedding_dtype === 'q8' && !run.use_peft) {
    throw new GraftError(
      'bad-config',
      "embedding_dtype: q8 keeps weights in 8 bits, which can't be trained themselves: set use_peft: true, or embedding_dtype: auto.",
    );
  }
}

/** Keys that say what is trained, of an adapter or beside it. */
const KEYS_OF_ADAPTERS = [
  'layers_to_transform',
  'lora_modules_to_save',
  'ensure_weight_tying',
  'trainable_token_indices',
] as const;

/** Keys that some methods alone read. */
export const KEYS_OF_METHODS = {
  beta: ['dpo', 'distill'],
  loss_type: ['dpo'],
  label_smoothing: ['dpo'],
  precompute_ref_log_probs: ['dpo'],
  disable_dropout: ['dpo', 'distill'],
  temperature: ['distill'],
  loss_top_k: ['distill'],
  loss_add_tail: ['distill'],
} as const satisfies Partial<Record<RunConfigKey, readonly RunConfig['method'][]>>;

/** Keys that nothing of the run would follow. */
function refuseUnusedKeys(run: RunConfig): void {
  const refuse = (message: string) => {
    throw new GraftError('bad-config', message);
  };
  const defaults = parseRunConfig('');
  for (const [name, methods] of Object.entries(KEYS_OF_METHODS) as [
    keyof typeof KEYS_OF_METHODS,
    readonly string[],
  ][]) {
    if (methods.includes(run.method) || run[name] === defaults[name]) continue;
    refuse(
      `${name} is for method: ${methods.join(' or ')}, and this run has method: ${run.method}: set method: ${methods[0]!}, or take it out.`,
    );
  }
  if (run.method === 'sft') return;
  if (run.packing) {
    refuse(
      `packing: true is for method: sft: ${run.method === 'dpo' ? 'pairs' : 'rows'} are trained a sequence each; set packing: false.`,
    );
  }
  if (run.method === 'distill') return refuseOddDivergence(run, refuse);
  if (run.beta === 0)
    refuse('beta is 0, and method: dpo needs a number above 0: it is how much going away from the reference costs.');
  if (run.label_smoothing !== 0) {
    refuse(
      `label_smoothing is ${run.label_smoothing}, which loss_type: sigmoid doesn't follow (nor does TRL): set label_smoothing: 0.`,
    );
  }
  if (run.precompute_ref_log_probs) {
    refuse(
      'precompute_ref_log_probs: true is not there yet: set it to false, or give the rows ref_chosen_logps and ref_rejected_logps.',
    );
  }
}

function refuseOddDivergence({ beta, temperature, loss_add_tail }: RunConfig, refuse: (message: string) => void): void {
  if (beta > 1) {
    refuse(
      `beta is ${beta}, and method: distill takes a number from 0, KL(teacher‖student), to 1, KL(student‖teacher).`,
    );
  }
  if (loss_add_tail && temperature !== 1) {
    refuse(
      `temperature is ${temperature}, and what it makes of the tokens that the rows don't have is not known: set loss_add_tail: false, or temperature: 1.`,
    );
  }
}

/**
 * The adapter of a run, of no kind where every parameter is trained.
 * Throws `bad-config` for what the model has no place for, or modules that exclude each other.
 */
export function adapterOf(run: RunConfig, model: Pick<ShapedModel, 'spec' | 'tokenizer'>): AdapterSpec {
  return { lora: loraOf(run, model.spec), prompt: promptOf(run, model) };
}

/** The LoRA of a run, or undefined where it trains something else. */
export function loraOf(run: RunConfig, spec: DecoderSpec): LoraSpec | undefined {
  if (!run.use_peft || tunesPrompt(run)) return undefined;
  const lora = loraSpec(run, targetModules(run, spec));
  refuseSavedModules(run, spec, lora);
  refuseTrainableTokens(spec, lora);
  return lora;
}

/** Throws `bad-config` where what `lora_modules_to_save` asks for can't be trained whole. */
function refuseSavedModules(run: RunConfig, spec: DecoderSpec, lora: LoraSpec): void {
  const refuse = (message: string) => {
    throw new GraftError('bad-config', message);
  };
  const { modulesToSave = [] } = lora;
  const saved = savedParameters(spec, lora);
  const stranger = modulesToSave.find((module) => ![...saved.keys()].some((name) => isSavedBy(module, name)));
  if (stranger !== undefined) {
    const linears = [...new Set(allLinears(spec).map(moduleName))].join(', ');
    refuse(
      `lora_modules_to_save names ${quote(stranger)}, which the model hasn't: name embed_tokens, lm_head, norm, or one of ${linears}.`,
    );
  }
  const twice = targetedLinears(spec, lora).find(({ name }) => saved.has(`${name}.weight`));
  if (twice) {
    refuse(
      `lora_modules_to_save and lora_target_modules both mean ${twice.name}: a module is trained whole or gets an adapter; name it in one of them.`,
    );
  }
  const savesTables = saved.has(EMBEDDING) || saved.has(HEAD);
  if (run.embedding_dtype === 'q8' && savesTables) {
    refuse(
      'embedding_dtype: q8 keeps in 8 bits what lora_modules_to_save trains whole from there: set embedding_dtype: auto.',
    );
  }
  if (run.ensure_weight_tying && !(spec.tieWordEmbeddings && savesTables)) {
    refuse(
      spec.tieWordEmbeddings
        ? 'ensure_weight_tying: true is for lora_modules_to_save with embed_tokens or lm_head: name one of them, or take it out.'
        : "ensure_weight_tying: true is for models whose head is tied to the embedding, and this one's is not: take it out.",
    );
  }
}

/** Throws `bad-config` where rows of tokens can't be trained as `trainable_token_indices` asks. */
function refuseTrainableTokens(spec: DecoderSpec, lora: LoraSpec): void {
  const refuse = (message: string) => {
    throw new GraftError('bad-config', `trainable_token_indices ${message}.`);
  };
  const { embed_tokens = [], lm_head = [] } = lora.trainableTokens ?? {};
  if (spec.tieWordEmbeddings && lm_head.length > 0) {
    refuse(
      "names lm_head, and this model's head is its embedding: name the tokens under embed_tokens alone, which trains both",
    );
  }
  for (const ids of [embed_tokens, lm_head]) {
    const beyond = ids.find((id) => id >= spec.vocabSize);
    if (beyond !== undefined)
      refuse(`names token ${beyond}, and the model has tokens 0 to ${spec.vocabSize - 1}: leave it out`);
    const twice = ids.find((id, i) => ids.indexOf(id) < i);
    if (twice !== undefined) refuse(`names token ${twice} twice: name it once`);
  }
  const saved = savedParameters(spec, lora);
  const table = [...tokenRows(spec, lora).keys()].find((name) => saved.has(name));
  if (table !== undefined) {
    refuse(
      `and lora_modules_to_save both mean ${table.replace(/^model\.|\.weight$/g, '')}: a table is trained whole or some rows of it are; take one of them out`,
    );
  }
}

/**
 * The linears that a run adapts, in names that the model has: of `lora_target_modules` those in `layers_to_transform`.
 * Throws `bad-config` for modules and layers that the model hasn't.
 */
export function targetModules(run: RunConfig, spec: DecoderSpec): string[] {
  const targets = resolveTargetModules(run.lora_target_modules, spec);
  const wanted = run.layers_to_transform;
  if (!wanted) return targets;
  const { numLayers } = spec;
  const beyond = wanted.find((layer) => layer >= numLayers);
  if (beyond !== undefined) {
    throw new GraftError(
      'bad-config',
      `layers_to_transform names layer ${beyond}, and the model has layers 0 to ${numLayers - 1}: leave it out.`,
    );
  }
  const asked = new Set(targets);
  const chosen = wanted
    .flatMap((layer) => layerLinears(spec, layer))
    .filter(({ name }) => pathEnds(name).some((end) => asked.has(end)));
  if (chosen.length === 0) {
    throw new GraftError(
      'bad-config',
      `layers_to_transform leaves nothing of lora_target_modules (${targets.join(', ')}): name layers that have them.`,
    );
  }
  return resolveTargetModules(
    chosen.map(({ name }) => name),
    spec,
  );
}

/** Whether embedding or head are trained, whole or all of the model: what is trained is not kept in 8 bits. */
export function trainsTables(run: RunConfig, spec: DecoderSpec): boolean {
  const saved = savedParameters(spec, loraSpec(run, []));
  return !run.use_peft || saved.has(EMBEDDING) || saved.has(HEAD);
}

export function loraSpec(run: RunConfig, targetModules: readonly string[]): LoraSpec {
  return {
    r: run.lora_r,
    alpha: run.lora_alpha,
    dropout: run.method !== 'sft' && run.disable_dropout ? 0 : run.lora_dropout,
    targetModules,
    useRslora: run.use_rslora,
    useDora: run.use_dora,
    ...(run.lora_modules_to_save && { modulesToSave: run.lora_modules_to_save }),
    ...(run.ensure_weight_tying && { ensureWeightTying: true }),
    ...(run.trainable_token_indices && { trainableTokens: run.trainable_token_indices }),
  };
}

/** What a run asks of the engine: its model, and the view that trains it. */
export interface TrainSetup {
  readonly setup: ModelSetup;
  readonly train: TrainViewOptions;
}

/** What an objective may depend on beside the run. */
export interface ObjectiveSources {
  /** Rows of preferences come with the log-probabilities of the reference. */
  readonly inRows?: boolean | undefined;
  /** The most tokens that a teacher's rows have at a position. */
  readonly targets?: number | undefined;
  /** The run goes on from an adapter, which is the reference then, as in TRL. */
  readonly fromAdapter?: boolean;
}

function objectiveOf(run: RunConfig, { inRows, fromAdapter, targets }: ObjectiveSources): ObjectiveOptions {
  if (run.method === 'sft') return { kind: 'sft' };
  if (run.method === 'distill') return distillOptions(run, targets);
  const reference = inRows ? 'rows' : fromAdapter || !run.use_peft ? 'copy' : 'base';
  return { kind: 'dpo', beta: run.beta, reference };
}

function distillOptions(run: RunConfig, found: number | undefined): ObjectiveOptions {
  const targets = found ?? run.loss_top_k;
  if (targets === 0) {
    throw new GraftError(
      'bad-config',
      'What method: distill takes depends on how many tokens of the teacher its rows have: give the data, or loss_top_k.',
    );
  }
  const { beta, temperature, loss_add_tail: tail } = run;
  if (targets === 1 && !tail) {
    throw new GraftError(
      'bad-config',
      'loss_add_tail: false renormalises over one token a position, which teaches nothing: set loss_add_tail: true, or give more teacher_ids.',
    );
  }
  return { kind: 'distill', targets, beta, temperature, tail };
}

/** `lengths` are the padded lengths that batches may have, ascending. */
export function trainSetup(
  run: RunConfig,
  model: ShapedModel,
  lengths: readonly number[],
  sources: ObjectiveSources = {},
): TrainSetup {
  refuseContradictions(run);
  const setup = {
    spec: model.spec,
    weightDType: run.use_peft ? chooseWeightDType(run.dtype, model.weightDType) : 'f32',
    quantization: quantizationOf(run),
    ...adapterOf(run, model),
  } as const;
  const train = {
    seed: run.seed,
    objective: objectiveOf(run, sources),
    // Of a pair both answers are rows.
    batchSize: run.per_device_train_batch_size * (run.method === 'dpo' ? 2 : 1),
    lengths,
    packing: run.packing,
    gradientCheckpointing: run.gradient_checkpointing,
    checkpointing: {
      layersPerSegment: run.checkpoint_layers,
      dtype: run.checkpoint_dtype === 'bfloat16' ? 'bf16' : 'f32',
      mlpRows: run.mlp_chunk_size || undefined,
    },
    adamw: {
      beta1: run.adam_beta1,
      beta2: run.adam_beta2,
      epsilon: run.adam_epsilon,
      weightDecay: run.weight_decay,
      moments: run.optim === 'adamw_8bit' ? '8bit' : '32bit',
    },
    maxGradNorm: run.max_grad_norm,
  } as const;
  return { setup, train };
}
