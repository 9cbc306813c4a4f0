/**
 * Writes a model of Llama 3.2 1B's shape with random weights in bf16, sharded as the Hub's are, for what must hold with
 * large models: `node test/support/large-model.mjs FOLDER`. With one layer more and a head of its own it has 3.1 GB.
 */
import { copyFile, mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const STARTER = new URL('../../public/models/starter/', import.meta.url);
const SHARD_BYTES = 1e9;
const BLOCK_BYTES = 16 * 2 ** 20;

const LARGE_CONFIG = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_size: 2048,
  intermediate_size: 8192,
  num_hidden_layers: 17,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  head_dim: 64,
  vocab_size: 128256,
  max_position_embeddings: 131072,
  rms_norm_eps: 1e-5,
  rope_theta: 500000,
  tie_word_embeddings: false,
  torch_dtype: 'bfloat16',
};

/** @param {typeof LARGE_CONFIG} config @returns {[name: string, shape: number[]][]} */
function tensors(config) {
  const { hidden_size: hidden, intermediate_size: inner, vocab_size: vocabulary } = config;
  const queries = config.num_attention_heads * config.head_dim;
  const keys = config.num_key_value_heads * config.head_dim;
  /** @type {[string, number[]][]} */
  const layer = [
    ['input_layernorm.weight', [hidden]],
    ['mlp.down_proj.weight', [hidden, inner]],
    ['mlp.gate_proj.weight', [inner, hidden]],
    ['mlp.up_proj.weight', [inner, hidden]],
    ['post_attention_layernorm.weight', [hidden]],
    ['self_attn.k_proj.weight', [keys, hidden]],
    ['self_attn.o_proj.weight', [hidden, queries]],
    ['self_attn.q_proj.weight', [queries, hidden]],
    ['self_attn.v_proj.weight', [keys, hidden]],
  ];
  const layers = Array.from({ length: config.num_hidden_layers }, (_, i) =>
    layer.map(([name, shape]) => /** @type {[string, number[]]} */ ([`model.layers.${i}.${name}`, shape])),
  );
  return [
    ['model.embed_tokens.weight', [vocabulary, hidden]],
    ...layers.flat(),
    ['model.norm.weight', [hidden]],
    ...(config.tie_word_embeddings
      ? []
      : [/** @type {[string, number[]]} */ (['lm_head.weight', [vocabulary, hidden]])]),
  ];
}

/** @param {readonly number[]} shape */
const bytesOf = (shape) => 2 * shape.reduce((product, size) => product * size, 1);

/** Fills words with pairs of bf16 between ±2⁻⁷ and ±2⁻⁵, by Marsaglia's xorshift32. @param {Uint32Array} words @param {number} state */
function randomize(words, state) {
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = (state & 0x80ff80ff) + 0x3c003c00;
  }
  return state;
}

/** @param {string} folder @param {Partial<typeof LARGE_CONFIG>} [change] @param {number} [shardBytes] */
export async function writeLargeModel(folder, change = {}, shardBytes = SHARD_BYTES) {
  const config = { ...LARGE_CONFIG, ...change };
  await mkdir(folder, { recursive: true });
  /** @type {[string, number[]][][]} */
  const shards = [[]];
  let held = 0;
  for (const tensor of tensors(config)) {
    if (held > 0 && held + bytesOf(tensor[1]) > shardBytes) {
      shards.push([]);
      held = 0;
    }
    shards[shards.length - 1]?.push(tensor);
    held += bytesOf(tensor[1]);
  }
  /** @param {number} n */
  const padded = (n) => String(n).padStart(5, '0');
  /** @type {Record<string, string>} */
  const map = {};
  let total = 0;
  let state = 2463534242;
  const words = new Uint32Array(BLOCK_BYTES / 4);
  for (const [i, shard] of shards.entries()) {
    const file = `model-${padded(i + 1)}-of-${padded(shards.length)}.safetensors`;
    /** @type {Record<string, unknown>} */
    const header = {};
    let offset = 0;
    for (const [name, shape] of shard) {
      header[name] = { dtype: 'BF16', shape, data_offsets: [offset, (offset += bytesOf(shape))] };
      map[name] = file;
    }
    total += offset;
    const json = Buffer.from(JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(json.length));
    const handle = await open(join(folder, file), 'w');
    await handle.writeFile(Buffer.concat([length, json]));
    for (const [, shape] of shard) {
      for (let left = bytesOf(shape); left > 0; left -= BLOCK_BYTES) {
        const part = words.subarray(0, Math.min(left, BLOCK_BYTES) / 4);
        if (shape.length > 1) state = randomize(part, state);
        else part.fill(0x3f803f80); // norms are ones
        await handle.writeFile(new Uint8Array(part.buffer, 0, part.byteLength));
      }
    }
    await handle.close();
  }
  await writeFile(join(folder, 'config.json'), JSON.stringify(config, null, 2));
  const index = { metadata: { total_size: total }, weight_map: map };
  await writeFile(join(folder, 'model.safetensors.index.json'), JSON.stringify(index));
  for (const file of ['tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json']) {
    await copyFile(new URL(file, STARTER), join(folder, file));
  }
  return total;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [folder] = process.argv.slice(2);
  if (!folder) throw new Error('usage: node test/support/large-model.mjs FOLDER');
  console.log(`${(await writeLargeModel(folder)) / 1e9} GB of weights are in ${folder}`);
}
