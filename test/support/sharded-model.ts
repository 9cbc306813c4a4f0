/** A small random Llama in several weight files, with the starter's tokenizer: what a Hub has, in little. */
import { readFileSync } from 'node:fs';
import { elementCount, fromFloat32 } from '../../src/core/dtypes';
import { Random } from '../../src/core/rng';
import { parameters } from '../../src/core/spec';
import { encodeUtf8 } from '../../src/core/store';
import type { WeightTensor } from '../../src/core/weights';
import { readSpec } from '../../src/formats/model';
import { writeSafetensors } from '../../src/formats/safetensors';
import { memorySource } from '../../src/formats/sources';

const STARTER = 'public/models/starter/';
const TEXT_FILES = ['tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json', 'generation_config.json'];

/** Quantisable in every linear. */
const SMALL = {
  hidden_size: 64,
  intermediate_size: 128,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
};

/** Files by name; the same seed gives the same bytes. @param config what differs from the starter's, or from `SMALL` */
export async function shardedModel(
  config: Record<string, unknown> = {},
  { shards = 3, seed = 11 } = {},
): Promise<Record<string, Uint8Array>> {
  const starter = JSON.parse(readFileSync(`${STARTER}config.json`, 'utf8')) as object;
  const json = encodeUtf8(JSON.stringify({ ...starter, ...SMALL, ...config }));
  const spec = await readSpec(memorySource('small', { 'config.json': json }));
  const random = new Random(seed);
  const tensors = parameters(spec).map(({ name, shape }): WeightTensor => {
    const isNorm = name.endsWith('norm.weight');
    const values = Float32Array.from({ length: elementCount(shape) }, () => (isNorm ? 1 : 0) + 0.05 * random.normal());
    return { name, shape, dtype: 'bf16', bytes: fromFloat32(values, 'bf16') };
  });
  const files: Record<string, Uint8Array> = { 'config.json': json };
  for (const file of TEXT_FILES) files[file] = readFileSync(STARTER + file);
  const weightMap: Record<string, string> = {};
  for (let shard = 0; shard < shards; shard++) {
    const file = `model-${number(shard + 1)}-of-${number(shards)}.safetensors`;
    const mine = tensors.slice(
      Math.floor((shard * tensors.length) / shards),
      Math.floor(((shard + 1) * tensors.length) / shards),
    );
    for (const { name } of mine) weightMap[name] = file;
    files[file] = writeSafetensors(mine, { format: 'pt' });
  }
  const size = tensors.reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
  files['model.safetensors.index.json'] = encodeUtf8(
    JSON.stringify({ metadata: { total_size: size }, weight_map: weightMap }),
  );
  return files;
}

function number(n: number): string {
  return String(n).padStart(5, '0');
}
