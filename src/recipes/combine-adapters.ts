/** Several LoRA adapters of one model as a single one, each by a weight: PEFT's `add_weighted_adapter`. No GPU needed. */
import { fromFloat32, toFloat32 } from '../core/dtypes';
import { GraftError } from '../core/errors';
import { Random } from '../core/rng';
import { loraAt, loraScaling, type LoraSpec } from '../core/spec';
import type { FileSource } from '../core/store';
import type { WeightTensor } from '../core/weights';
import { readObject } from '../formats/json';
import { ADAPTER_CONFIG, adapterFiles, readAdapter, type AdapterFile } from '../formats/peft';
import { ADAPTER_TEXT_FILES } from './steps/model-folder';
import { combineUpdates, isDare, isTies, type CombinationOptions, type Update } from './steps/combine-updates';
import type { Matrix } from './steps/low-rank-svd';

export interface WeightedAdapter {
  readonly folder: FileSource;
  readonly weight: number;
}

export interface CombinedAdapter {
  readonly files: readonly AdapterFile[];
  readonly rank: number;
  /** What is taken of one adapter alone, a sentence each. */
  readonly notices: readonly string[];
}

interface OpenedAdapter {
  readonly name: string;
  readonly weight: number;
  readonly baseModel: string;
  /** Of the base on the Hub, where the adapter names one. */
  readonly revision: string | undefined;
  readonly lora: LoraSpec;
  readonly tensors: ReadonlyMap<string, WeightTensor>;
}

/**
 * The files of an adapter folder. As in PEFT, alpha is the rank, so that what was α/r of each adapter is in the numbers; the
 * dropout is that of the first. Unlike PEFT, which takes α/r twice in `svd` and leaves `use_rslora` on, what comes out of
 * one adapter of weight 1 is that adapter.
 * @throws `bad-config`, `bad-file` and `unsupported` for adapters that can't be combined, naming one
 */
export async function combineAdapters(
  adapters: readonly WeightedAdapter[],
  options: CombinationOptions,
): Promise<CombinedAdapter> {
  const opened: OpenedAdapter[] = [];
  for (const adapter of adapters) opened.push(await openAdapter(adapter));
  const [first] = opened;
  if (!first) throw new Error('there is no adapter to combine');
  const { baseModel, revision } = first;
  const modules = [...new Set(opened.flatMap(({ tensors }) => [...tensors.keys()].flatMap(moduleOf)))];
  const updates = modules.map((module) => [module, updatesOf(opened, module)] as const);
  const rank = rankOf(opened, options);
  const random = new Random(options.seed ?? 42);
  const tensors = updates.flatMap(([module, own]) => combineModule(module, own, rank, options, random));
  const lora: LoraSpec = {
    r: rank,
    alpha: rank,
    dropout: first.lora.dropout,
    targetModules: [...new Set(opened.flatMap((adapter) => adapter.lora.targetModules))],
    useRslora: false,
    useDora: false,
  };
  // A card is read by others: of a path, its end is enough.
  const made = opened.map(({ name, weight }) => `${name.split(/[\\/]/).slice(-2).join('/')} (${weight})`).join(', ');
  const facts = { 'Combined from': made, 'Combination type': options.type, ...factsOf(options) };
  const title = `${opened.length} adapters in one`;
  const files = adapterFiles({
    lora,
    baseModel,
    ...(revision !== undefined && { revision }),
    tensors,
    card: { title, origin: 'combined from others', facts },
  });
  const { texts, notices } = await textsOf(adapters.map(({ folder }) => folder));
  return { files: [...files, ...texts], rank, notices: [...baseNotices(opened), ...notices] };
}

function factsOf({
  type,
  density,
  majoritySign = 'total',
  seed = 42,
}: CombinationOptions): Record<string, string | number> {
  return {
    ...(density !== undefined && { Density: density }),
    ...(isTies(type) && { 'Majority sign': majoritySign }),
    ...(isDare(type) && { Seed: seed }),
  };
}

async function openAdapter({ folder, weight }: WeightedAdapter): Promise<OpenedAdapter> {
  const { name } = folder;
  const { lora, baseModel, tensors } = await readAdapter(folder);
  if (!lora) throw refuse(name, 'is a prompt, which has no updates of weights');
  if (lora.useDora) throw refuse(name, 'is a DoRA adapter, whose magnitudes have no sum');
  if (lora.modulesToSave || lora.trainableTokens)
    throw refuse(name, 'brings modules or rows of tokens that were trained whole, beside its LoRA');
  const revision = (await readObject(folder, ADAPTER_CONFIG))?.string('revision');
  return { name, weight, baseModel, revision, lora, tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])) };
}

function refuse(name: string, what: string): GraftError {
  return new GraftError(
    'unsupported',
    `${name} ${what}: it can't be combined with others. Merge it into its model instead.`,
  );
}

function moduleOf(tensor: string): string[] {
  const module = /^(.+)\.lora_A\.weight$/.exec(tensor)?.[1];
  return module === undefined ? [] : [module];
}

/** Of the adapters that have one there. Their shapes are one model's. */
function updatesOf(adapters: readonly OpenedAdapter[], module: string): Update[] {
  const updates = adapters.flatMap(({ name, weight, lora, tensors }): Update[] => {
    const [a, b] = ['A', 'B'].map((side) => tensors.get(`${module}.lora_${side}.weight`));
    if (!a) return [];
    const [rank, inFeatures] = a.shape;
    const [outFeatures, columns] = b?.shape ?? [];
    if (!b || !rank || !inFeatures || !outFeatures || columns !== rank)
      throw new GraftError('bad-file', `${name} has no lora_B of ${module} that fits its lora_A: it is damaged.`);
    const scale = weight * loraScaling(loraAt(lora, module.replace(/^base_model\.model\./, '')));
    const [valuesA, valuesB] = [a, b].map(({ bytes, dtype }) => toFloat32(bytes, dtype).slice());
    return [{ adapter: name, scale, a: valuesA!, b: valuesB!, rank, inFeatures, outFeatures }];
  });
  const [one] = updates;
  const other = updates.find(
    ({ inFeatures, outFeatures }) => inFeatures !== one?.inFeatures || outFeatures !== one.outFeatures,
  );
  if (!one || !other) return updates;
  const sizes = (update: Update) => `${update.outFeatures} × ${update.inFeatures} in ${update.adapter}`;
  throw new GraftError(
    'bad-file',
    `${module} is ${sizes(one)} and ${sizes(other)}: they are adapters of different models, which can't be combined.`,
  );
}

/** @throws `bad-config` where the type needs adapters of one rank */
function rankOf(adapters: readonly OpenedAdapter[], { type, svdRank }: CombinationOptions): number {
  const ranks = adapters.map(({ lora }) => Math.max(lora.r, ...Object.values(lora.overrides ?? {}).map(({ r }) => r)));
  if (type === 'cat') return ranks.reduce((sum, rank) => sum + rank, 0);
  if (type === 'svd') return svdRank ?? Math.max(...ranks);
  const other = ranks.findIndex((rank) => rank !== ranks[0]);
  if (other === -1) return ranks[0]!;
  throw new GraftError(
    'bad-config',
    `${adapters[0]!.name} has rank ${ranks[0]} and ${adapters[other]!.name} rank ${ranks[other]}: ${type} takes adapters of ` +
      'one rank. Use svd or cat, which take any.',
  );
}

function combineModule(
  module: string,
  updates: readonly Update[],
  rank: number,
  options: CombinationOptions,
  random: Random,
): WeightTensor[] {
  const [first] = updates;
  if (!first) return [];
  const { inFeatures, outFeatures } = first;
  const { a, b } = combineUpdates(module, updates, rank, options, random);
  const tensor = (side: 'A' | 'B', { values }: Matrix, shape: readonly number[]): WeightTensor => {
    const name = `${module}.lora_${side}.weight`;
    return { name, dtype: 'f32', shape, bytes: fromFloat32(Float32Array.from(values), 'f32') };
  };
  return [tensor('A', a, [rank, inFeatures]), tensor('B', b, [outFeatures, rank])];
}

function baseNotices(adapters: readonly OpenedAdapter[]): string[] {
  const [first] = adapters;
  const baseOf = ({ baseModel, revision }: OpenedAdapter) =>
    baseModel && revision !== undefined ? `${baseModel}@${revision}` : baseModel;
  const other = adapters.find((adapter) => first && baseOf(adapter) !== baseOf(first));
  if (!first || !other) return [];
  return [
    `${first.name} names ${baseOf(first) || 'no model'} as its base and ${other.name} ${baseOf(other) || 'none'}: the ` +
      'first is written down. That they are of one model is for you to know.',
  ];
}

/** The chat template and tokenizer that adapters bring: those of the first, where all have the same. */
async function textsOf(folders: readonly FileSource[]): Promise<{ texts: AdapterFile[]; notices: string[] }> {
  const texts: AdapterFile[] = [];
  const notices: string[] = [];
  for (const name of ADAPTER_TEXT_FILES) {
    const all = await Promise.all(
      folders.map(async (folder) => ((await folder.size(name)) === undefined ? undefined : folder.read(name))),
    );
    const [first] = all;
    if (first) texts.push({ name, bytes: new Uint8Array(first) });
    const other = all.findIndex((bytes) => !isSame(first, bytes));
    if (other === -1) continue;
    const from = first ? `is taken from ${folders[0]!.name}` : `of ${folders[other]!.name} is left out`;
    notices.push(
      `${name} ${from}: ${first ? `${folders[other]!.name} has another, or none` : `${folders[0]!.name} has none`}.`,
    );
  }
  return { texts, notices };
}

function isSame(one: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
  if (!one || !other) return one === other;
  return one.byteLength === other.byteLength && one.every((byte, i) => byte === other[i]);
}
