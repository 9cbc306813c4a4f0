/** The built-in model as large ones are published: its weights in several files, with an index. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeUtf8 } from '../../src/core/store';
import type { WeightTensor } from '../../src/core/weights';
import { readAll, writeSafetensors } from '../../src/formats/safetensors';
import { memorySource } from '../../src/formats/sources';

export const INDEX = 'model.safetensors.index.json';
const STARTER = join(import.meta.dirname, '../../public/models/starter');
const TEXTS = ['config.json', 'generation_config.json', 'tokenizer.json', 'tokenizer_config.json'];

export type ModelFiles = Record<string, Uint8Array>;

export interface Index {
  metadata: { total_size: unknown };
  weight_map: Record<string, string>;
}

/** Files of nearly one size, in the order of the tensors' names. */
export async function shardedStarter(shards = 4): Promise<ModelFiles> {
  const single = 'model.safetensors';
  const tensors = await readAll(memorySource('starter', { [single]: read(single) }), single);
  tensors.sort((a, b) => (a.name < b.name ? -1 : 1));
  const total = tensors.reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
  const groups: WeightTensor[][] = Array.from({ length: shards }, () => []);
  let before = 0;
  for (const tensor of tensors) {
    groups[Math.floor((before / total) * shards)]!.push(tensor);
    before += tensor.bytes.byteLength;
  }
  const index: Index = { metadata: { total_size: total }, weight_map: {} };
  const files: ModelFiles = Object.fromEntries(TEXTS.map((name) => [name, read(name)]));
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

function read(file: string): Uint8Array {
  return new Uint8Array(readFileSync(join(STARTER, file)));
}
