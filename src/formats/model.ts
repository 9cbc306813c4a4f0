/** A model folder in Hub layout, a GGUF file seen as one, or GPTQ's and AWQ's weights seen as plain: config, weights, tokenizer, chat template. */
import type { FloatDType } from '../core/dtypes';
import { GraftError } from '../core/errors';
import { quote } from '../core/format';
import { parameters, type DecoderSpec } from '../core/spec';
import type { FileSource } from '../core/store';
import type { ChatTemplate } from '../core/text';
import type { WeightStream } from '../core/weights';
import { refuseAdapter } from './adapter-folder';
import { specFromConfig } from './families';
import { readGenerationHints, type GenerationConfig } from './generation-config';
import { hubLayout } from './gguf';
import { plainConfig, readInt4Config } from './int4/config';
import { expandInt4 } from './int4/expand';
import { readObject, type JsonObject } from './json';
import {
  readHeader,
  streamEntries,
  weightDType,
  type SafetensorsHeader,
  type TensorEntry,
  type WeightsRequest,
} from './safetensors';
import { refuseQuantised } from './quantised';
import { openText } from './text-model';
import { withStoredHead } from './tied-head';
import type { HubTokenizer } from './tokenizer';

const SINGLE_FILE = 'model.safetensors';
const INDEX_FILE = 'model.safetensors.index.json';

/** Weight files of other formats that a folder may hold instead, for a message that says so. */
const OTHER_WEIGHTS = ['pytorch_model.bin', 'pytorch_model.bin.index.json', 'consolidated.00.pth'];

export interface HubModel {
  readonly name: string;
  /** The commit that it was opened at, where it is from the Hub. */
  readonly commit?: string;
  readonly spec: DecoderSpec;
  /** The dtype that most of the weights are stored in. */
  readonly weightDType: FloatDType;
  /** The dtype that each parameter is stored in, in the order in which `weights` gives them. */
  readonly dtypes: ReadonlyMap<string, FloatDType>;
  /** How parameters are stored, by name, that are something else there than their dtype: `GPTQ`, `AWQ`. */
  readonly types?: ReadonlyMap<string, string>;
  /** Bytes of the parameters as they are read. */
  readonly weightBytes: number;
  /** Every parameter of `parameters(spec)` once, in file order, or what is asked for of them; each call reads anew. */
  weights(request?: WeightsRequest): WeightStream;
  /** Undefined where the folder has no tokenizer.json; only pre-tokenised rows can then be used. */
  readonly tokenizer: HubTokenizer | undefined;
  /** The model's chat template or the Alpaca fallback; undefined without a tokenizer. */
  readonly template: ChatTemplate | undefined;
  readonly generationConfig: GenerationConfig;
  /** What of the folder can't be used, though the model can: a sentence each. */
  readonly notices: readonly string[];
}

/**
 * Opens a model folder: reads every header and small file, but no weights yet.
 * @throws `not-found` (no config or weights), `unsupported` (architecture, dtype), `bad-config`, `bad-file`.
 */
export async function openModel(folder: FileSource): Promise<HubModel> {
  const folderSource = await hubLayout(folder);
  const stored = await readConfig(folderSource);
  const packing = readInt4Config(stored, folderSource.name);
  const config = packing ? plainConfig(stored) : stored;
  const described = specFromConfig(config, folderSource.name);
  const plain = { source: folderSource, headers: await readHeaders(folderSource), types: undefined };
  const { source, headers, types } = packing
    ? await expandInt4(folderSource, plain.headers, described, packing)
    : plain;
  const { spec, notices } = await withStoredHead(source, described, headers);
  const entries = checkParameters(source.name, spec, headers);
  const names = new Set(entries.keys());
  const hints = await readGenerationHints(source, config, spec.vocabSize);
  const text = await openText(source, hints.eosIds);
  return {
    name: source.name,
    ...(source.commit !== undefined && { commit: source.commit }),
    spec,
    ...storage(entries),
    dtypes: storedTypes(headers, names),
    // What is packed is read as f32, however much there is of the rest.
    ...(types && { types, weightDType: 'f32' as const }),
    weights: (request) => streamEntries(source, headers, names, request),
    tokenizer: text?.tokenizer,
    template: text?.template,
    generationConfig: hints.config,
    notices: [...notices, ...hints.notices],
  };
}

/** The decoder spec from config.json alone: enough to plan memory where the weights are elsewhere. */
export async function readSpec(source: FileSource): Promise<DecoderSpec> {
  const config = await readConfig(await hubLayout(source));
  return specFromConfig(readInt4Config(config, source.name) ? plainConfig(config) : config, source.name);
}

async function readConfig(source: FileSource): Promise<JsonObject> {
  const config = await readObject(source, 'config.json');
  if (!config) {
    await refuseAdapter(source);
    throw new GraftError('not-found', `${source.name} has no config.json: it is no model folder in the Hub's layout.`);
  }
  return config;
}

async function readHeaders(source: FileSource): Promise<SafetensorsHeader[]> {
  if ((await source.size(SINGLE_FILE)) !== undefined) return [await readHeader(source, SINGLE_FILE)];
  const index = await readObject(source, INDEX_FILE);
  if (!index) {
    const sizes = await Promise.all(OTHER_WEIGHTS.map((file) => source.size(file)));
    const other = OTHER_WEIGHTS.find((_, i) => sizes[i] !== undefined);
    if (other) {
      throw new GraftError(
        'unsupported',
        `${source.name} has its weights in ${other} only; Graft reads ${SINGLE_FILE}.`,
      );
    }
    await refuseAdapter(source);
    throw new GraftError('not-found', `${source.name} has no ${SINGLE_FILE} and no ${INDEX_FILE}.`);
  }
  const map = index.required('weight_map', index.object('weight_map'));
  const files = new Set<string>();
  for (const name of map.keys()) {
    const file = map.string(name);
    if (file === undefined || !/^[\w][\w.-]*\.safetensors$/.test(file)) {
      throw new GraftError(
        'bad-file',
        `${INDEX_FILE} puts ${quote(name)} into ${quote(file)}, which is no safetensors file.`,
      );
    }
    files.add(file);
  }
  const headers: SafetensorsHeader[] = [];
  for (const file of [...files].sort()) headers.push(await readHeader(source, file));
  checkIndex(map, headers);
  return headers;
}

/** Throws `bad-file` where the index tells of other files than these. Nobody reads its `total_size`, and many are wrong. */
function checkIndex(map: JsonObject, headers: readonly SafetensorsHeader[]): void {
  for (const { file, tensors } of headers) {
    for (const { name } of tensors) {
      const named = map.string(name) ?? file;
      if (named !== file)
        throw new GraftError('bad-file', `${INDEX_FILE} puts ${name} into ${named}, but it is in ${file}.`);
    }
  }
}

/** The stored tensor of every parameter. Throws where one is missing, misshapen, repeated, or not the model's. */
function checkParameters(
  name: string,
  spec: DecoderSpec,
  headers: readonly SafetensorsHeader[],
): Map<string, TensorEntry> {
  const stored = new Map<string, TensorEntry>();
  for (const { file, tensors } of headers) {
    for (const entry of tensors) {
      if (stored.has(entry.name))
        throw new GraftError('bad-file', `Tensor ${entry.name} is stored twice, again in ${file}.`);
      stored.set(entry.name, entry);
    }
  }
  refuseQuantised(name, [...stored.values()]);
  const entries = new Map<string, TensorEntry>();
  for (const parameter of parameters(spec)) {
    const entry = stored.get(parameter.name);
    if (!entry) {
      throw new GraftError('bad-file', `${name} lacks the tensor ${parameter.name}, which its config.json calls for.`);
    }
    if (entry.shape.join() !== parameter.shape.join()) {
      throw new GraftError(
        'bad-file',
        `${parameter.name} in ${name} has shape [${entry.shape.join(', ')}], but config.json calls for [${parameter.shape.join(', ')}].`,
      );
    }
    if (!weightDType(entry.dtype)) {
      throw new GraftError(
        'unsupported',
        `${parameter.name} in ${name} is stored as ${entry.dtype}; Graft reads F32, F16 and BF16.`,
      );
    }
    entries.set(parameter.name, entry);
  }
  const stranger = [...stored.keys()].find((tensor) => !entries.has(tensor) && !isRedundant(tensor, spec));
  if (stranger !== undefined) {
    throw new GraftError(
      'unsupported',
      `${name} holds the tensor ${stranger}, which its config.json doesn't call for: leaving it out would change the model.`,
    );
  }
  return entries;
}

/** Tensors that some files hold and that follow from others: a tied head, rotary tables. */
function isRedundant(name: string, spec: DecoderSpec): boolean {
  return (name === 'lm_head.weight' && spec.tieWordEmbeddings) || name.endsWith('.rotary_emb.inv_freq');
}

function storedTypes(
  headers: readonly SafetensorsHeader[],
  names: ReadonlySet<string>,
): ReadonlyMap<string, FloatDType> {
  const entries = headers.flatMap(({ tensors }) => tensors).filter(({ name }) => names.has(name));
  return new Map(entries.map(({ name, dtype }) => [name, weightDType(dtype) ?? 'f32']));
}

function storage(entries: ReadonlyMap<string, TensorEntry>): { weightDType: FloatDType; weightBytes: number } {
  const bytes: Record<FloatDType, number> = { f32: 0, f16: 0, bf16: 0 };
  for (const entry of entries.values()) bytes[weightDType(entry.dtype) ?? 'f32'] += entry.end - entry.start;
  const dtypes: FloatDType[] = ['f32', 'bf16', 'f16'];
  return {
    weightDType: dtypes.reduce((most, dtype) => (bytes[dtype] > bytes[most] ? dtype : most)),
    weightBytes: bytes.f32 + bytes.f16 + bytes.bf16,
  };
}
