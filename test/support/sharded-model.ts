/** Models as large ones are published, in little: weights in several files, with an index. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { elementCount, fromFloat32 } from '../../src/core/dtypes';
import { Random } from '../../src/core/rng';
import { parameters } from '../../src/core/spec';
import { encodeUtf8 } from '../../src/core/store';
import type { WeightTensor } from '../../src/core/weights';
import { readSpec } from '../../src/formats/model';
import { readAll, writeSafetensors } from '../../src/formats/safetensors';
import { memorySource } from '../../src/formats/sources';

export const INDEX = 'model.safetensors.index.json';
const CONFIG = 'config.json';
const STARTER = join(import.meta.dirname, '../../public/models/starter');
const TEXTS = ['generation_config.json', 'tokenizer.json', 'tokenizer_config.json'];

export type ModelFiles = Record<string, Uint8Array>;

export interface Index {
  metadata: { total_size: unknown };
  weight_map: Record<string, string>;
}

/** The built-in model. */
export async function shardedStarter(shards = 4): Promise<ModelFiles> {
  const single = 'model.safetensors';
  const tensors = await readAll(memorySource('starter', { [single]: read(single) }), single);
  tensors.sort((a, b) => (a.name < b.name ? -1 : 1));
  return { [CONFIG]: read(CONFIG), ...texts(), ...inShards(tensors, shards) };
}

/** Quantisable in every linear. */
const SMALL = {
  hidden_size: 64,
  intermediate_size: 128,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
};

/**
 * A small random Llama with the starter's tokenizer; the same seed gives the same bytes.
 * @param config what differs from the starter's, or from `SMALL`
 */
export async function shardedModel(
  config: Record<string, unknown> = {},
  { shards = 3, seed = 11 } = {},
): Promise<ModelFiles> {
  const starter = JSON.parse(Buffer.from(read(CONFIG)).toString()) as object;
  const json = encodeUtf8(JSON.stringify({ ...starter, ...SMALL, ...config }));
  const spec = await readSpec(memorySource('small', { [CONFIG]: json }));
  const random = new Random(seed);
  const tensors = parameters(spec).map(({ name, shape }): WeightTensor => {
    const isNorm = name.endsWith('norm.weight');
    const values = Float32Array.from({ length: elementCount(shape) }, () => (isNorm ? 1 : 0) + 0.05 * random.normal());
    return { name, shape, dtype: 'bf16', bytes: fromFloat32(values, 'bf16') };
  });
  return { [CONFIG]: json, ...texts(), ...inShards(tensors, shards) };
}

/** Files of nearly one size, in the order of the tensors, and their index. */
function inShards(tensors: readonly WeightTensor[], shards: number): ModelFiles {
  const total = tensors.reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
  const groups: WeightTensor[][] = Array.from({ length: shards }, () => []);
  let before = 0;
  for (const tensor of tensors) {
    groups[Math.floor((before / total) * shards)]!.push(tensor);
    before += tensor.bytes.byteLength;
  }
  const index: Index = { metadata: { total_size: total }, weight_map: {} };
  const files: ModelFiles = {};
  for (const [i, group] of groups.entries()) {
    const file = shardName(i + 1, shards);
    for (const { name } of group) index.weight_map[name] = file;
    files[file] = writeSafetensors(group, { format: 'pt' });
  }
  return { ...files, [INDEX]: encodeUtf8(JSON.stringify(index)) };
}

export function shardName(n: number, of = 4): string {
  const padded = (number: number) => String(number).padStart(5, '0');
  return `model-${padded(n)}-of-${padded(of)}.safetensors`;
}

/** The files with another index. */
export function withIndex(files: ModelFiles, change: (index: Index) => void): ModelFiles {
  const index = JSON.parse(Buffer.from(files[INDEX]!).toString()) as Index;
  change(index);
  return { ...files, [INDEX]: encodeUtf8(JSON.stringify(index)) };
}

function texts(): ModelFiles {
  return Object.fromEntries(TEXTS.map((name) => [name, read(name)]));
}

function read(file: string): Uint8Array {
  return new Uint8Array(readFileSync(join(STARTER, file)));
}
