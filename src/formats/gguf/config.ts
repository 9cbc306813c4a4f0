/** GGUF metadata as a Hub config.json: llama.cpp's keys under the names that Transformers gives them. */
import { GraftError } from '../../core/errors';
import { quote } from '../../core/format';
import type { JsonObject } from '../json';
import {
  ARCHITECTURES,
  COMMON_KEYS,
  type Facts,
  type GgufArchitecture,
  type NumberKey,
  type RopeTables,
} from './architectures';
import type { GgufHeader } from './header';
import { shortest } from './numbers';
import { llama3Scaling } from './rope';

/** What is read of a head: of a file, or of one that is going to be written. */
export type DescribedModel = Pick<GgufHeader, 'file' | 'metadata'> & {
  readonly tensors: readonly Pick<GgufHeader['tensors'][number], 'name' | 'shape'>[];
};

/**
 * The config.json that the converter read, as far as the file still tells. `tables` are the rotary tensors of the file.
 * @throws `unsupported` for an architecture or a rotary scaling that Graft doesn't know, `bad-config` for missing keys.
 */
export function configOf(
  header: DescribedModel,
  tables: RopeTables,
): { config: Record<string, unknown>; architecture: GgufArchitecture } {
  const { metadata, file, tensors } = header;
  const name = metadata.required('general.architecture', metadata.string('general.architecture'));
  const family = Object.hasOwn(ARCHITECTURES, name) ? ARCHITECTURES[name] : undefined;
  if (!family) {
    const known = Object.keys(ARCHITECTURES).join(', ');
    throw new GraftError(
      'unsupported',
      `${file} has the architecture ${quote(name)}, which Graft can't train; it can train: ${known}.`,
    );
  }
  const number = (key: string) => numberOf(metadata, `${name}.${key}`);
  const needed = (key: string) => metadata.required(`${name}.${key}`, number(key));
  const vocabulary = tensors.find((tensor) => tensor.name === 'token_embd.weight');
  if (!vocabulary)
    throw new GraftError('bad-file', `${file} has no token_embd.weight: it holds no model, or a vocabulary alone.`);
  const names = new Set(tensors.map((tensor) => tensor.name));
  const heads = needed('attention.head_count');
  const hiddenSize = needed('embedding_length');
  const keyValueHeads = number('attention.head_count_kv') ?? heads;
  const facts: Facts = {
    where: file,
    architecture: name,
    layers: needed('block_count'),
    heads,
    hiddenSize,
    headDim: number('attention.key_length') ?? hiddenSize / heads,
    tables,
    number,
    text: (key) => metadata.string(`${name}.${key}`),
    has: (tensor) => names.has(tensor),
  };
  const valueOf = ({ gguf, absent, zeroIsNone }: NumberKey) => {
    const value = absent ? (number(gguf) ?? absent(facts)) : needed(gguf);
    return zeroIsNone && value === 0 ? null : value;
  };
  const rotated = number('rope.dimension_count') ?? facts.headDim;
  const numbers = [...COMMON_KEYS, ...family.keys].map((key) => [key.config, valueOf(key)] as const);
  const config = {
    architectures: [family.hubName],
    model_type: family.modelType,
    vocab_size: vocabulary.shape[0],
    ...Object.fromEntries(numbers.filter(([, value]) => value !== undefined)),
    rope_scaling: ropeScaling(facts),
    ...(rotated !== facts.headDim && { partial_rotary_factor: rotated / facts.headDim }),
    tie_word_embeddings: !names.has('output.weight'),
    bos_token_id: metadata.get('tokenizer.ggml.bos_token_id') ?? null,
    eos_token_id: metadata.get('tokenizer.ggml.eos_token_id') ?? null,
    ...family.extra(facts),
  };
  const { layerNames, rotary, norms } = family;
  return { config, architecture: { name, heads, keyValueHeads, layerNames, rotary, norms } };
}

/** Numbers are f32 in the file and were decimal in the config: the shortest decimal that makes the same f32 is it. */
function numberOf(metadata: JsonObject, key: string): number | undefined {
  const value = metadata.get(key);
  if (value === undefined) return undefined;
  // Files of models whose layers differ have a list here.
  if (Array.isArray(value) && value.length > 0 && value.every((item) => item === value[0]))
    return numeric(metadata, key, value[0]);
  return numeric(metadata, key, value);
}

function numeric(metadata: JsonObject, key: string, value: unknown): number {
  if (typeof value !== 'number' || !Number.isFinite(value))
    throw metadata.wrong(key, 'a number, the same for every layer');
  return Number.isInteger(value) ? value : shortest(value);
}

function ropeScaling(facts: Facts): Record<string, unknown> | null {
  const { tables, number, text } = facts;
  const frequencies = tables.get('rope_freqs');
  if (frequencies)
    return { ...llama3Scaling(facts.where, frequencies, facts.headDim, number('rope.freq_base') ?? 10_000) };
  const long = tables.get('rope_factors_long');
  const short = tables.get('rope_factors_short');
  if (long && short) {
    return { rope_type: 'longrope', long_factor: long.map(shortest), short_factor: short.map(shortest) };
  }
  const type = text('rope.scaling.type') ?? 'none';
  const factor = number('rope.scaling.factor');
  if (type === 'none' || (type === 'linear' && factor === undefined)) return null;
  return {
    rope_type: type,
    factor,
    original_max_position_embeddings: number('rope.scaling.original_context_length'),
  };
}
