/**
 * Adapter folders as PEFT writes and reads them: `adapter_config.json`, `adapter_model.safetensors` and a model card.
 * Field semantics: `peft/tuners/lora/config.py` (LoraConfig).
 */
import type { AdapterSpec } from '../core/adapter';
import { formatSize } from '../core/bytes';
import { GraftError } from '../core/errors';
import { formatCount, plural, quote } from '../core/format';
import {
  adapterParameters,
  allLinears,
  EMBEDDING,
  HEAD,
  moduleName,
  pathEnds,
  savedParameters,
  tokenRows,
  type DecoderSpec,
  type LoraSpec,
} from '../core/spec';
import { encodeUtf8, type FileSource } from '../core/store';
import type { WeightTensor } from '../core/weights';
import { FAMILIES } from './families';
import { isPlainObject, readObject, type JsonObject } from './json';
import type { BaseModel } from './base-model';
import { modelCard, type ModelCard } from './model-card';
import {
  readPatternValues,
  readRestrictions,
  readTargets,
  readTrainableTokens,
  targetsModule,
  type ModuleTest,
} from './peft-targets';
import { checkPrompt, promptConfig, PROMPT_TUNING, readPrompt } from './peft-prompt';
import { asFloat32, readHeader, readWeights, writeSafetensors } from './safetensors';

export const ADAPTER_CONFIG = 'adapter_config.json';
export const ADAPTER_WEIGHTS = 'adapter_model.safetensors';

/** Several times the largest rank anyone trains. */
const MAX_RANK = 65_536;
/** What one array of bytes holds everywhere; rank 256 on every linear of 8 billion weights takes 2.7 GB in f32. */
const MAX_BYTES = 2 ** 32 - 2 ** 20;
/** Ten times those of a model with 126 layers, each linear with its magnitudes. */
const MAX_TENSORS = 30_000;

/** Fields that say nothing about the result, whatever they hold. */
const HARMLESS = new Set([
  'auto_mapping',
  'base_model_name_or_path',
  'fan_in_fan_out', // PEFT sets it right for linears itself
  'inference_mode',
  'megatron_core',
  'peft_version',
  'qalora_group_size',
  'revision',
  'runtime_config',
  // Of initialisations, which `init_lora_weights` chooses.
  'corda_config',
  'eva_config',
  'loftq_config',
  'lora_ga_config',
]);

/** Fields that Graft applies or accepts in these values only; any other field must be null, false or empty. */
const READ_BELOW = new Set(['peft_type', 'task_type', 'bias', 'init_lora_weights']);
const APPLIED = new Set([
  'r',
  'lora_alpha',
  'lora_dropout',
  'target_modules',
  'exclude_modules',
  'layers_to_transform',
  'layers_pattern',
  'rank_pattern',
  'alpha_pattern',
  'modules_to_save',
  'ensure_weight_tying',
  'trainable_token_indices',
  'use_rslora',
  'use_dora',
]);

/** Initialisations that leave the base weights alone; PiSSA, OLoRA, CorDA and LoftQ change them. */
const PLAIN_INITIALISATIONS = new Set<unknown>([undefined, true, false, 'gaussian', 'orthogonal', 'eva']);

/** PEFT's defaults. */
const DEFAULT_RANK = 8;
const DEFAULT_ALPHA = 8;

/** The targets of a LoRA are linears that the adapter has tensors of. */
export interface Adapter extends AdapterSpec {
  readonly baseModel: string;
  /** In f32, under PEFT's names. */
  readonly tensors: WeightTensor[];
  /** Whether the config means a linear, by its whole name; absent, it means what `lora` targets. */
  readonly selects?: ModuleTest;
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
  if (!config) throw await noAdapter(source);
  const isPrompt = config.get('peft_type') === PROMPT_TUNING;
  if (!isPrompt) refuseUnsupported(config);
  if ((await source.size(ADAPTER_WEIGHTS)) === undefined && (await source.size('adapter_model.bin')) !== undefined) {
    throw new GraftError(
      'unsupported',
      `${source.name} has its weights in adapter_model.bin; Graft reads ${ADAPTER_WEIGHTS} only. Load it with PEFT and ` +
        'save it again with save_pretrained, which writes that.',
    );
  }
  const baseModel = config.string('base_model_name_or_path') ?? '';
  if (isPrompt) return { ...readPrompt(config, source.name, await readTensors(source)), baseModel };
  const modulesToSave = config.strings('modules_to_save') ?? [];
  const trainableTokens = readTrainableTokens(config);
  const stored = await readTensors(source);
  const tied = config.boolean('ensure_weight_tying') === true && savesOneTable(stored);
  const tensors = tied ? stored.filter(({ name }) => name !== SAVED_HEAD) : stored;
  const dropout = config.get('lora_dropout') ?? 0;
  if (typeof dropout !== 'number' || dropout < 0 || dropout >= 1)
    throw config.wrong('lora_dropout', 'from 0 to below 1');
  const r = config.size('r', MAX_RANK) ?? DEFAULT_RANK;
  const alpha = config.positive('lora_alpha') ?? DEFAULT_ALPHA;
  const modules = adaptedModules(tensors);
  const { targetModules, selects } = resolveConfigTargets(config, modules);
  const overrides = readOverrides(config, modules, { r, alpha });
  const lora: LoraSpec = {
    r,
    alpha,
    dropout,
    targetModules,
    useRslora: config.boolean('use_rslora') ?? false,
    useDora: config.boolean('use_dora') ?? false,
    ...(overrides && { overrides }),
    ...(modulesToSave.length > 0 && { modulesToSave }),
    ...(tied && { ensureWeightTying: true }),
    ...(trainableTokens && { trainableTokens }),
  };
  return { lora, baseModel, tensors, selects };
}

/** Sizes and names are checked before any tensor is read. */
async function readTensors(source: FileSource): Promise<WeightTensor[]> {
  const where = `${ADAPTER_WEIGHTS} of ${source.name}`;
  const size = (await source.size(ADAPTER_WEIGHTS)) ?? 0;
  if (size > MAX_BYTES) {
    const limit = `an adapter of more than ${formatSize(MAX_BYTES)} is not read`;
    throw new GraftError('bad-file', `${where} has ${plural(size, 'byte')}; ${limit}: name another adapter.`);
  }
  const { tensors: entries } = await readHeader(source, ADAPTER_WEIGHTS);
  if (entries.length > MAX_TENSORS) {
    const limit = `more than ${formatCount(MAX_TENSORS)} are not read, as an adapter has a few for each linear`;
    throw new GraftError('bad-file', `${where} has ${formatCount(entries.length)} tensors; ${limit}.`);
  }
  const named = adapterTensors(source.name, entries);
  const stored = await readWeights(source, ADAPTER_WEIGHTS, entries);
  return stored.map((tensor, i) => {
    const read = asFloat32({ ...tensor, name: named[i]!.name });
    if (!isFinite32(read.bytes)) {
      throw new GraftError(
        'bad-file',
        `${where} holds numbers that are not finite (NaN or infinity) in ${read.name}: the training that wrote it diverged, ` +
          'or the file is damaged. Name another adapter.',
      );
    }
    return read;
  });
}

/** Whether every f32 of these bytes is a finite number: one whose exponent isn't all ones. */
function isFinite32(bytes: Uint8Array): boolean {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  const words = new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4);
  return words.every((word) => (word & 0x7f800000) !== 0x7f800000);
}

async function noAdapter(source: FileSource): Promise<GraftError> {
  const has = async (file: string) => (await source.size(file)) !== undefined;
  const what = (await has('config.json'))
    ? 'it is a model folder, which goes with --model'
    : (await has('checkpoint-0')) || (await has('checkpoint-1'))
      ? 'it holds a run that was cut off; graft export --checkpoint makes an adapter folder of it'
      : 'it is no adapter folder';
  return new GraftError('not-found', `${source.name} has no ${ADAPTER_CONFIG}: ${what}.`);
}

function refuseUnsupported(config: JsonObject): void {
  const refuse = (key: string, supported: string) =>
    new GraftError(
      'unsupported',
      `${config.where}: ${key} is ${config.get(key) === undefined ? 'not set' : quote(config.get(key))}; Graft applies ${supported} only.`,
    );
  if (config.get('peft_type') !== 'LORA') throw refuse('peft_type', `LORA and ${PROMPT_TUNING}`);
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
  if (value === undefined || value === false || value === '') return true;
  return Array.isArray(value) ? value.length === 0 : isPlainObject(value) && Object.keys(value).length === 0;
}

/** The names of saved tables. */
const SAVED_EMBEDDING = `base_model.model.${EMBEDDING}`;
const SAVED_HEAD = `base_model.model.${HEAD}`;

/** Whether an embedding and the head that is tied to it are there, which PEFT saves under both names. */
function savesOneTable(tensors: readonly WeightTensor[]): boolean {
  const [embedding, head] = [SAVED_EMBEDDING, SAVED_HEAD].map((name) => tensors.find((tensor) => tensor.name === name));
  if (!embedding || !head || embedding.bytes.byteLength !== head.bytes.byteLength) return false;
  return embedding.bytes.every((byte, i) => byte === head.bytes[i]);
}

/** What wrappers put into the names of modules, and what stands before all names. */
const WRAPPERS = /(^|\.)(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)(?=\.)/g;
const PREFIX = 'base_model.model.';

/**
 * The tensors under the names that PEFT saves. Other savers (DeepSpeed, FSDP, a plain state dict) leave the adapter's
 * name in them, `lora_A.default.weight`, or leave out what stands before the model's own names.
 */
function adapterTensors<T extends { readonly name: string }>(name: string, stored: readonly T[]): T[] {
  const adapters = new Set<string>();
  const tensors = stored.map((tensor) => {
    const parts =
      /^(.*)\.(lora_A|lora_B|lora_magnitude_vector|trainable_tokens_delta)(?:\.(?!weight$)([^.]+))?(?:\.weight)?$/.exec(
        tensor.name,
      );
    if (!parts) return { ...tensor, name: tensor.name.replace(/\.modules_to_save\.[^.]+(?=\.)/, '') };
    const [, path = '', kind = '', adapter] = parts;
    if (adapter !== undefined) adapters.add(adapter);
    const module = path
      .replace(/^module\./, '')
      .replace(WRAPPERS, '')
      .replace(/^\./, '');
    const end = kind.startsWith('lora_') && kind !== 'lora_magnitude_vector' ? `${kind}.weight` : kind;
    return { ...tensor, name: `${module.startsWith(PREFIX) ? '' : PREFIX}${module}.${end}` };
  });
  if (adapters.size > 1) {
    throw new GraftError(
      'unsupported',
      `The adapter ${name} holds the tensors of several adapters (${[...adapters].join(', ')}): save each by itself.`,
    );
  }
  const names = new Set<string>();
  for (const tensor of tensors) {
    if (names.has(tensor.name))
      throw new GraftError('bad-file', `The adapter ${name} holds the tensor ${tensor.name} twice, under two names.`);
    names.add(tensor.name);
  }
  return tensors;
}

/** The whole names of the linears that have a LoRA, in the order of the file. */
function adaptedModules(tensors: readonly WeightTensor[]): string[] {
  const modules = tensors.map(({ name }) => /^base_model\.model\.(.+)\.lora_A\.weight$/.exec(name)?.[1]);
  return [...new Set(modules.filter((module) => module !== undefined))];
}

/**
 * What the config selects, and of that what the adapter has tensors of, in names that a `LoraSpec` takes: as the config
 * writes them where that says it, else whole names. Names of modules that the model lacks are fine in PEFT as long as
 * one is there, and are left out.
 */
function resolveConfigTargets(
  config: JsonObject,
  modules: readonly string[],
): { targetModules: string[]; selects: ModuleTest } {
  const targets = readTargets(config);
  const allowed = readRestrictions(config, targets);
  const selects: ModuleTest = (module) => targetsModule(targets, module) && (allowed?.(module) ?? true);
  const selected = modules.filter(selects);
  if (allowed || targets.kind === 'pattern') return { targetModules: selected, selects };
  if (targets.kind === 'names') {
    const ends = new Set(modules.flatMap(pathEnds));
    const present = targets.names.filter((name) => ends.has(name));
    // Where none is there the names go on to be refused against the model's.
    return { targetModules: present.length > 0 ? present : [...targets.names], selects };
  }
  const kinds = [...new Set(modules.map((module) => module.slice(module.lastIndexOf('.') + 1)))];
  // Which modules PEFT takes by itself depends on the model; what it took is in the file.
  return { targetModules: kinds, selects: targets.kind === 'auto' ? (module) => modules.includes(module) : selects };
}

/** Rank and alpha of the modules that have others than the rest; undefined where the patterns change nothing. */
function readOverrides(
  config: JsonObject,
  modules: readonly string[],
  { r, alpha }: Pick<LoraSpec, 'r' | 'alpha'>,
): LoraSpec['overrides'] {
  const rank = readPatternValues(config, 'rank_pattern');
  const scale = readPatternValues(config, 'alpha_pattern');
  const own = modules
    .map((module) => [module, { r: rank(module) ?? r, alpha: scale(module) ?? alpha }] as const)
    .filter(([, values]) => values.r !== r || values.alpha !== alpha);
  return own.length === 0 ? undefined : Object.fromEntries(own);
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
  const { lora, prompt } = adapter;
  if (prompt) return checkPrompt(name, prompt, adapter.tensors, spec);
  if (!lora) throw new Error('an adapter is LoRA or a prompt');
  resolveTargetModules(lora.targetModules, spec);
  checkTokens(name, lora, spec);
  const stored = new Map(adapter.tensors.map((tensor) => [tensor.name, tensor]));
  const meant = adapter.selects && allLinears(spec).filter((linear) => adapter.selects?.(linear.name));
  for (const { name: parameter, shape } of adapterParameters(spec, lora, meant)) {
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
  if (stranger !== undefined) throw misplaced(name, stranger);
}

/** Throws where rows of tokens are of none that the model has, or of a table that the adapter brings whole. */
function checkTokens(name: string, lora: LoraSpec, spec: DecoderSpec): void {
  const rows = tokenRows(spec, lora);
  const beyond = [...rows.values()].flatMap(({ ids }) => ids).find((id) => id >= spec.vocabSize);
  if (beyond !== undefined) {
    throw new GraftError(
      'bad-file',
      `The adapter ${name} has a row for token ${beyond}, and the model has ${plural(spec.vocabSize, 'token')}: it was ` +
        'trained on another model.',
    );
  }
  const saved = savedParameters(spec, lora);
  const table = [...rows.keys()].find((parameter) => saved.has(parameter));
  if (table === undefined) return;
  throw new GraftError(
    'unsupported',
    `The adapter ${name} has both ${table} whole and some rows of it (modules_to_save, trainable_token_indices); Graft ` +
      'applies one of them.',
  );
}

/** The error for a tensor that the adapter brings and that would be left out. */
function misplaced(name: string, tensor: string): GraftError {
  const holds = `The adapter ${name} holds the tensor ${tensor}, `;
  if (/(embed_tokens|lm_head)/.test(tensor)) {
    return new GraftError(
      'unsupported',
      `${holds}which changes the embedding or the head, and its config names it in neither modules_to_save nor ` +
        "trainable_token_indices; Graft applies adapters of the layers' linears, modules that are saved whole, and rows of tokens.",
    );
  }
  if (/\.lora_(A|B|magnitude_vector)\b/.test(tensor) || !tensor.includes('lora_'))
    return new GraftError('bad-file', `${holds}which has no place in the model.`);
  return new GraftError('unsupported', `${holds}of a kind that Graft doesn't apply.`);
}

/** One of `lora` and `prompt` says what the adapter is. */
export interface AdapterFilesOptions extends AdapterSpec {
  /** Hub id or path of the base model, as `from_pretrained` would take it. */
  readonly baseModel: string;
  readonly revision?: string;
  /** Under PEFT's names, as `TrainSession.exportParameters` gives them. */
  readonly tensors: readonly WeightTensor[];
  readonly card?: ModelCard;
}

/** The files of an adapter folder that PEFT's `from_pretrained` loads. */
export function adapterFiles(options: AdapterFilesOptions): AdapterFile[] {
  const { lora, prompt, baseModel, revision, tensors, card } = options;
  const config = prompt ? promptConfig(prompt, tensors, options) : lora && loraConfig(lora, baseModel, revision);
  if (!config) throw new Error('an adapter is LoRA or a prompt');
  const saved = lora ? savedTensors(lora, tensors) : tensors;
  return [
    { name: ADAPTER_CONFIG, bytes: utf8(`${JSON.stringify(config, null, 2)}\n`) },
    { name: ADAPTER_WEIGHTS, bytes: writeSafetensors(saved, { format: 'pt' }) },
    {
      name: 'README.md',
      bytes: utf8(modelCard(card?.base ?? hubModel(baseModel, revision), options, card ?? {})),
    },
  ];
}

function loraConfig(lora: LoraSpec, baseModel: string, revision: string | undefined): object {
  return {
    alora_invocation_tokens: null,
    alpha_pattern: patternOf(lora, 'alpha'),
    auto_mapping: null,
    base_model_name_or_path: baseModel,
    bias: 'none',
    ...(lora.ensureWeightTying && { ensure_weight_tying: true }),
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
    modules_to_save: lora.modulesToSave ? [...lora.modulesToSave] : null,
    peft_type: 'LORA',
    r: lora.r,
    rank_pattern: patternOf(lora, 'r'),
    revision: revision ?? null,
    target_modules: [...lora.targetModules],
    task_type: 'CAUSAL_LM',
    trainable_token_indices: lora.trainableTokens ?? null,
    use_dora: lora.useDora,
    use_rslora: lora.useRslora,
  };
}

/** As PEFT saves them: a table that is embedding and head in one, under both names. */
function savedTensors({ ensureWeightTying }: LoraSpec, tensors: readonly WeightTensor[]): readonly WeightTensor[] {
  const table = ensureWeightTying ? tensors.find(({ name }) => name === SAVED_EMBEDDING) : undefined;
  return table ? [...tensors, { ...table, name: SAVED_HEAD }] : tensors;
}

function hubModel(id: string, revision: string | undefined): BaseModel {
  return { name: id, hub: { id, ...(revision !== undefined && { revision }) } };
}

/** The linears whose rank or alpha is another than the adapter's, as PEFT writes them. */
function patternOf(lora: LoraSpec, value: 'r' | 'alpha'): Record<string, number> {
  const own = Object.entries(lora.overrides ?? {}).filter(([, values]) => values[value] !== lora[value]);
  return Object.fromEntries(own.map(([module, values]) => [module, values[value]]));
}

function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(encodeUtf8(text));
}
