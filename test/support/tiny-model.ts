/** A random one-layer Llama of a few thousand parameters in the Hub's layout, and pre-tokenised rows for it. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { elementCount } from '../../src/core/dtypes';
import { Random } from '../../src/core/rng';
import { parameters } from '../../src/core/spec';
import { encodeUtf8 } from '../../src/core/store';
import { readSpec } from '../../src/formats/model';
import { writeSafetensors } from '../../src/formats/safetensors';
import { memorySource } from '../../src/formats/sources';

const VOCAB_SIZE = 48;

const CONFIG = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_size: 32,
  intermediate_size: 64,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  vocab_size: VOCAB_SIZE,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  tie_word_embeddings: true,
  hidden_act: 'silu',
};

/** Writes `config.json` and `model.safetensors` into the folder, the same bytes each time. */
export async function writeTinyModel(folder: string): Promise<void> {
  const config = JSON.stringify(CONFIG, null, 2);
  const spec = await readSpec(memorySource('tiny', { 'config.json': encodeUtf8(config) }));
  const random = new Random(7);
  const tensors = parameters(spec).map(({ name, shape }) => {
    const isNorm = shape.length === 1;
    const values = Float32Array.from({ length: elementCount(shape) }, () => (isNorm ? 1 : 0.1 * random.normal()));
    return { name, shape, dtype: 'f32' as const, bytes: new Uint8Array(values.buffer) };
  });
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'config.json'), config);
  await writeFile(join(folder, 'model.safetensors'), writeSafetensors(tensors));
}

/** JSONL rows of `input_ids` and `labels`, different from each other. */
export function tinyRows(count: number): string {
  const random = new Random(11);
  const rows = Array.from({ length: count }, () => {
    const input_ids = Array.from({ length: 12 + (random.uint32() % 8) }, () => random.uint32() % VOCAB_SIZE);
    return JSON.stringify({ input_ids, labels: input_ids.map((id, i) => (i < 5 ? -100 : id)) });
  });
  return rows.join('\n');
}
