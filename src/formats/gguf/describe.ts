/** A model as the metadata and rotary tables of a GGUF file: what `configOf` reads back. */
import { GraftError } from '../../core/errors';
import type { DecoderSpec, ParameterSpec, RopeSpec } from '../../core/spec';
import { compareSpecs } from '../compare-specs';
import { specFromConfig } from '../families';
import { JsonObject } from '../json';
import {
  ARCHITECTURES,
  COMMON_KEYS,
  type Family,
  type GgufArchitecture,
  type RopeTable,
  type RopeTables,
} from './architectures';
import { configOf } from './config';
import { ggufName } from './names';
import { llama3Divisors } from './rope';
import type { GgufMetadata, GgufValue } from './write';

export interface DescribedSpec {
  readonly architecture: GgufArchitecture;
  readonly metadata: GgufMetadata;
  readonly tables: RopeTables;
  /** What the model multiplies scores with, over what llama.cpp does: queries are stored multiplied by it. */
  readonly queryFactor: number;
  /** What llama.cpp computes otherwise, a sentence each. */
  readonly notices: readonly string[];
}

/**
 * The metadata of a model of this spec, and the tables of its rotary embedding.
 * @throws `unsupported` for a family that llama.cpp hasn't, and for what it has no way to say
 */
export function describeSpec(
  spec: DecoderSpec,
  modelName: string,
  parameters: readonly ParameterSpec[],
): DescribedSpec {
  const { name, family, architecture } = architectureOf(spec, modelName);
  refuseRope(spec, family, modelName);
  if (family.alwaysTied && !spec.tieWordEmbeddings) throw refusal(modelName, name, 'has no head of its own', 'lm_head');
  const tables = ropeTables(spec.rope, spec.headDim);
  const metadata = new Map<string, GgufValue>([['general.architecture', { kind: 'string', value: name }]]);
  const set = (key: string, kind: 'u32' | 'f32', value: number | undefined) => {
    if (value !== undefined) metadata.set(`${name}.${key}`, { kind, value });
  };
  for (const { gguf, kind, valueOf } of [...COMMON_KEYS, ...family.keys]) set(gguf, kind, valueOf(spec));
  set('attention.value_length', 'u32', spec.headDim);
  set('rope.dimension_count', 'u32', spec.rope.rotaryDim ?? spec.headDim);
  set('vocab_size', 'u32', spec.vocabSize);
  if (spec.rope.type === 'linear') {
    metadata.set(`${name}.rope.scaling.type`, { kind: 'string', value: 'linear' });
    set('rope.scaling.factor', 'f32', spec.rope.factor);
  }
  if (spec.rope.type === 'longrope') set('rope.scaling.attn_factor', 'f32', spec.rope.attentionFactor);
  const understood = readBack(metadata, tables, parameters, architecture);
  const notices = compare(spec, understood, modelName, name);
  const queryFactor = scaleOf(spec) / scaleOf(understood);
  if (queryFactor !== 1 && spec.queryKeyNorms) {
    throw refusal(modelName, name, 'scales scores otherwise, which norms undo', `${queryFactor}`);
  }
  return { architecture, metadata, tables, notices, queryFactor };
}

/** Of the scores: 1/√headDim unless the family has another. */
function scaleOf({ attentionScale, headDim }: DecoderSpec): number {
  return attentionScale ?? 1 / Math.sqrt(headDim);
}

function architectureOf(
  spec: DecoderSpec,
  modelName: string,
): { name: string; family: Family; architecture: GgufArchitecture } {
  const found = Object.entries(ARCHITECTURES).find(([, { writtenFrom }]) => writtenFrom.includes(spec.family));
  if (!found) {
    throw new GraftError('unsupported', `${modelName} is a ${spec.family}, which Graft can't write as GGUF.`);
  }
  const [name, family] = found;
  const { layerNames, rotary, norms } = family;
  const { numHeads: heads, numKeyValueHeads: keyValueHeads } = spec;
  return { name, family, architecture: { name, heads, keyValueHeads, layerNames, rotary, norms } };
}

function refuseRope({ rope, localRope }: DecoderSpec, { ropeTypes }: Family, modelName: string): void {
  const odd = ropeTypes.includes(rope.type) ? localRope : rope;
  if (odd === undefined || (odd === localRope && odd.type === 'default')) return;
  throw new GraftError(
    'unsupported',
    `${modelName} can't be written as GGUF: llama.cpp doesn't scale the rotary embedding of its family by ${odd.type}.`,
  );
}

function ropeTables(rope: RopeSpec, headDim: number): RopeTables {
  const tables = new Map<RopeTable, readonly number[]>();
  if (rope.type === 'llama3') {
    const scaling = {
      factor: rope.factor,
      low_freq_factor: rope.lowFreqFactor,
      high_freq_factor: rope.highFreqFactor,
      original_max_position_embeddings: rope.originalMaxPositions,
    };
    tables.set('rope_freqs', llama3Divisors(scaling, headDim, rope.theta).map(Math.fround));
  }
  if (rope.type === 'longrope') {
    tables.set('rope_factors_long', rope.longFactor.map(Math.fround));
    tables.set('rope_factors_short', rope.shortFactor.map(Math.fround));
  }
  return tables;
}

/** The spec that a reader of the file makes of it. */
function readBack(
  metadata: GgufMetadata,
  tables: RopeTables,
  parameters: readonly ParameterSpec[],
  architecture: GgufArchitecture,
): DecoderSpec {
  const fields = [...metadata].map(([key, entry]): [string, unknown] => {
    const isFloat = 'kind' in entry && entry.kind === 'f32';
    return [key, isFloat ? Math.fround(Number(entry.value)) : entry.value];
  });
  const file = 'the file';
  const tensors = parameters.map(({ name, shape }) => ({ name: ggufName(name, architecture), shape }));
  const { config } = configOf({ file, tensors, metadata: new JsonObject(file, Object.fromEntries(fields)) }, tables);
  return specFromConfig(new JsonObject(file, config), file);
}

/** Throws where the file would say another model; windows that llama.cpp hasn't are given as notices. */
function compare(spec: DecoderSpec, understood: DecoderSpec, modelName: string, architecture: string): string[] {
  const { fields, windows } = compareSpecs(spec, understood);
  const [field] = fields;
  if (field !== undefined) {
    const value = JSON.stringify(spec[field as keyof DecoderSpec]);
    throw refusal(modelName, architecture, `computes with another ${field} than the model`, value);
  }
  const widest = spec.layers?.find(({ window }) => window !== undefined)?.window ?? 0;
  return windows
    ? [
        `${modelName} has layers that see ${widest} tokens only; in llama.cpp they see all: answers differ once a text is longer.`,
      ]
    : [];
}

function refusal(modelName: string, architecture: string, why: string, what: string): GraftError {
  return new GraftError(
    'unsupported',
    `${modelName} can't be written as GGUF: llama.cpp's ${architecture} ${why} (${what}).`,
  );
}
