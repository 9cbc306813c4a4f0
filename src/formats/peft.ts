/**
 * Adapter folders as PEFT writes and reads them: `adapter_config.json`, `adapter_model.safetensors` and a model card.
 * Field semantics: `peft/tuners/lora/config.py` (LoraConfig).
 */
import { GraftError } from '../core/errors';
import { quote } from '../core/format';
import { adapterParameters, allLinears, moduleName, pathEnds, type DecoderSpec, type LoraSpec } from '../core/spec';
import { encodeUtf8, type FileSource } from '../core/store';
import type { WeightTensor } from '../core/weights';
import { FAMILIES } from './families';
import { isPlainObject, readObject, type JsonObject } from './json';
import { modelCard, type ModelCard } from './model-card';
import { asFloat32, readAll, writeSafetensors } from './safetensors';

export const ADAPTER_CONFIG = 'adapter_config.json';
export const ADAPTER_WEIGHTS = 'adapter_model.safetensors';

/** Several times the largest rank anyone trains. */
const MAX_RANK = 65_536;

/** Fields that say nothing about the result, whatever they hold. */
const HARMLESS = new Set([
  'auto_mapping',
  'base_model_name_or_path',
  'inference_mode',
  'megatron_core',
  'peft_version',
  'qalora_group_size',
  'revision',
  'runtime_config',
]);

/** Fields that Graft applies or accepts in these values only; any other field must be null, false or empty. */
const READ_BELOW = new Set(['peft_type', 'task_type', 'bias', 'init_lora_weights']);
const APPLIED = new Set(['r', 'lora_alpha', 'lora_dropout', 'target_modules', 'use_rslora', 'use_dora']);

/** Initialisations that leave the base weights alone; PiSSA, OLoRA, CorDA and LoftQ change them. */
const PLAIN_INITIALISATIONS = new Set<unknown>([undefined, true, false, 'gaussian', 'orthogonal', 'eva']);

export interface Adapter {
  readonly lora: LoraSpec;
  readonly baseModel: string;
  /** In f32, under PEFT's names. */
  readonly tensors: WeightTensor[];
}

export interface AdapterFile {
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/**
 * Reads an adapter folder. Whether it fits a model is `checkAdapter`'s question.
 * @throws `not-found`, `bad-file`, `bad-config`, and `unsupported` for every setting that Graft would have to ignore.
 */
export async function readAdapter(source: FileSource): Promise<Adapter> {
  const config = await readObject(source, ADAPTER_CONFIG);
  if (!config) throw new GraftError('not-found', `${source.name} has no ${ADAPTER_CONFIG}: it is no adapter folder.`);
  refuseUnsupported(config);
  if ((await source.size(ADAPTER_WEIGHTS)) === undefined && (await source.size('adapter_model.bin')) !== undefined) {
    throw new GraftError(
      'unsupported',
      `${source.name} has its weights in adapter_model.bin; Graft reads ${ADAPTER_WEIGHTS} only.`,
    );
  }
  const tensors = (await readAll(source, ADAPTER_WEIGHTS)).map(asFloat32);
  const dropout = config.get('lora_dropout') ?? 0;
  if (typeof dropout !== 'number' || dropout < 0 || dropout >= 1)
    throw config.wrong('lora_dropout', 'from 0 to below 1');
  const lora: LoraSpec = {
    r: config.required('r', config.size('r', MAX_RANK)),
    alpha: config.required('lora_alpha', config.positive('lora_alpha')),
    dropout,
    targetModules: readTargets(config, tensors),
    useRslora: config.boolean('use_rslora') ?? false,
    useDora: config.boolean('use_dora') ?? false,
  };
  return { lora, baseModel: config.string('base_model_name_or_path') ?? '', tensors };
}

function refuseUnsupported(config: JsonObject): void {
  const refuse = (key: string, supported: string) =>
    new GraftError(
      'unsupported',
      `${config.where}: ${key} is ${quote(config.get(key))}; Graft applies ${supported} only.`,
    );
  if (config.get('peft_type') !== 'LORA') throw refuse('peft_type', 'LORA');
  if ((config.get('task_type') ?? 'CAUSAL_LM') !== 'CAUSAL_LM') throw refuse('task_type', 'CAUSAL_LM');
  if ((config.get('bias') ?? 'none') !== 'none') throw refuse('bias', '"none"');
  if (!PLAIN_INITIALISATIONS.has(config.get('init_lora_weights'))) {
    throw refuse('init_lora_weights', 'initialisations that keep the base weights');
  }
  for (const key of config.keys()) {
    if (HARMLESS.has(key) || READ_BELOW.has(key) || APPLIED.has(key) || isEmpty(config.get(key))) continue;
    throw new GraftError(
      'unsupported',
      `${config.where}: ${key} is ${quote(config.get(key))}, which Graft doesn't apply; the adapter would answer differently.`,
    );
  }
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === false) return true;
  return Array.isArray(value) ? value.length === 0 : isPlainObject(value) && Object.keys(value).length === 0;
}

/** Module names; for `all-linear` those that the adapter's tensors name. */
function readTargets(config: JsonObject, tensors: readonly WeightTensor[]): string[] {
  const targets = config.required('target_modules', config.get('target_modules'));
  if (targets === 'all-linear') {
    const modules = tensors.map(({ name }) => /\.([^.]+)\.lora_A\.weight$/.exec(name)?.[1]);
    return [...new Set(modules.filter((module) => module !== undefined))];
  }
  if (typeof targets === 'string') {
    throw new GraftError(
      'unsupported',
      `${config.where}: target_modules is the pattern ${quote(targets)}; Graft takes a list of names.`,
    );
  }
  return config.strings('target_modules') ?? [];
}

/**
 * `all-linear`, `auto` or a list, as the names of linears that the model has, in forward order. As in PEFT a name may be any end
 * of a linear's path; where the linears of a kind are targeted in every layer, that kind's name stands for them.
 * `auto` is what PEFT targets where nothing is named.
 * Throws `bad-config` for a name that the model doesn't have, and for `auto` where PEFT has no choice of its own.
 */
export function resolveTargetModules(targets: 'all-linear' | 'auto' | readonly string[], spec: DecoderSpec): string[] {
  const linears = allLinears(spec);
  const kinds = [...new Set(linears.map(moduleName))];
  if (targets === 'all-linear') return kinds;
  if (targets === 'auto') return defaultTargets(spec);
  const asked = new Set(targets);
  const targeted = linears.filter(({ name }) => pathEnds(name).some((end) => asked.has(end)));
  const ends = new Set(targeted.flatMap(({ name }) => pathEnds(name)));
  const stranger = targets.find((target) => !ends.has(target));
  if (stranger !== undefined || targets.length === 0) {
    const what = stranger === undefined ? 'is empty' : `names ${quote(stranger)}`;
    throw new GraftError(
      'bad-config',
      `target_modules ${what}; this model has ${kinds.join(', ')}, or all-linear for all of them.`,
    );
  }
  return kinds.flatMap((kind) => {
    const names = targeted.filter((linear) => moduleName(linear) === kind).map(({ name }) => name);
    return names.length === spec.numLayers ? [kind] : names;
  });
}

function defaultTargets({ family }: DecoderSpec): string[] {
  const targets = FAMILIES.find(({ modelType }) => modelType === family)?.loraTargets;
  if (targets) return [...targets];
  throw new GraftError(
    'bad-config',
    `target_modules: PEFT has no modules of its own choice for ${family}; name them, or take all-linear.`,
  );
}

/** Throws `bad-config` or `bad-file` where the adapter's targets, names or shapes don't fit the model. */
export function checkAdapter(name: string, adapter: Adapter, spec: DecoderSpec): void {
  resolveTargetModules(adapter.lora.targetModules, spec);
  const stored = new Map(adapter.tensors.map((tensor) => [tensor.name, tensor]));
  for (const { name: parameter, shape } of adapterParameters(spec, adapter.lora)) {
    const tensor = stored.get(parameter);
    if (!tensor) {
      throw new GraftError(
        'bad-file',
        `The adapter ${name} lacks the tensor ${parameter}: it belongs to another model, or is incomplete.`,
      );
    }
    if (tensor.shape.join() !== shape.join()) {
      throw new GraftError(
        'bad-file',
        `${parameter} of the adapter ${name} has shape [${tensor.shape.join(', ')}], but the model calls for ` +
          `[${shape.join(', ')}]: it was trained on another model.`,
      );
    }
    stored.delete(parameter);
  }
  const [stranger] = stored.keys();
  if (stranger !== undefined) {
    throw new GraftError(
      'bad-file',
      `The adapter ${name} holds the tensor ${stranger}, which has no place in the model.`,
    );
  }
}

export interface AdapterFilesOptions {
  readonly lora: LoraSpec;
  /** Hub id or path of the base model, as `from_pretrained` would take it. */
  readonly baseModel: string;
  readonly revision?: string;
  /** Under PEFT's names, as `TrainSession.exportParameters` gives them. */
  readonly tensors: readonly WeightTensor[];
  readonly card?: ModelCard;
}

/** The files of an adapter folder that PEFT's `from_pretrained` loads. */
export function adapterFiles(options: AdapterFilesOptions): AdapterFile[] {
  const { lora, baseModel, revision, tensors, card } = options;
  const config = {
    alora_invocation_tokens: null,
    alpha_pattern: {},
    auto_mapping: null,
    base_model_name_or_path: baseModel,
    bias: 'none',
    exclude_modules: null,
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    layer_replication: null,
    layers_pattern: null,
    layers_to_transform: null,
    loftq_config: {},
    lora_alpha: lora.alpha,
    lora_bias: false,
    lora_dropout: lora.dropout,
    megatron_config: null,
    megatron_core: 'megatron.core',
    modules_to_save: null,
    peft_type: 'LORA',
    r: lora.r,
    rank_pattern: {},
    revision: revision ?? null,
    target_modules: [...lora.targetModules],
    task_type: 'CAUSAL_LM',
    trainable_token_indices: null,
    use_dora: lora.useDora,
    use_rslora: lora.useRslora,
  };
  return [
    { name: ADAPTER_CONFIG, bytes: utf8(`${JSON.stringify(config, null, 2)}\n`) },
    { name: ADAPTER_WEIGHTS, bytes: writeSafetensors(tensors, { format: 'pt' }) },
    {
      name: 'README.md',
      bytes: utf8(modelCard(baseModel, lora, { ...card, ...(revision !== undefined && { revision }) })),
    },
  ];
}

function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(encodeUtf8(text));
}
