import { parseRunConfig, type RunConfig } from '../../../src/core/config';
import { GraftError, type ErrorCode } from '../../../src/core/errors';
import { Random } from '../../../src/core/rng';
import { parameters } from '../../../src/core/spec';
import { encodeUtf8, type FileSource, type RunStore } from '../../../src/core/store';
import type { WeightTensor } from '../../../src/core/weights';
import { fromFloat32, elementCount } from '../../../src/core/dtypes';
import { readSpec } from '../../../src/formats/model';
import { writeSafetensors } from '../../../src/formats/safetensors';
import { memorySource } from '../../../src/formats/sources';
import { expect } from 'vitest';
import { wholeTensor } from '../../../src/core/weights';
import { checkpointFile, readCheckpoint, wholeWeights, type Checkpoint } from '../../../src/recipes/steps/checkpoint';

/** A run's folder in memory, which can be told to fail or to count. */
export class MemoryStore implements RunStore {
  readonly name = 'memory';
  readonly files = new Map<string, Uint8Array>();
  readonly written: string[] = [];
  /** Called before each write; a throw is a write that failed. */
  beforeWrite: (file: string) => void = () => undefined;

  list(): Promise<string[]> {
    return Promise.resolve([...this.files.keys()]);
  }
  read(file: string): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.files.get(file));
  }
  async write(file: string, bytes: Uint8Array): Promise<void> {
    await Promise.resolve();
    this.beforeWrite(file);
    this.files.set(file, bytes.slice());
    this.written.push(file);
  }
  remove(file: string): Promise<void> {
    this.files.delete(file);
    return Promise.resolve();
  }
}

export function tensor(name: string, values: number[], shape = [values.length]): WeightTensor {
  return { name, dtype: 'f32', shape, bytes: fromFloat32(Float32Array.from(values), 'f32') };
}

export function run(overrides: Record<string, string> = {}): RunConfig {
  return parseRunConfig('', overrides);
}

/** A tiny Llama with random weights, as a model folder without a tokenizer. */
export async function tinyModel(config: Record<string, unknown> = {}): Promise<FileSource> {
  const json = {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_size: 32,
    intermediate_size: 48,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    vocab_size: 40,
    max_position_embeddings: 64,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    tie_word_embeddings: true,
    dtype: 'float32',
    ...config,
  };
  const bytes = encodeUtf8(JSON.stringify(json));
  const spec = await readSpec(memorySource('tiny', { 'config.json': bytes }));
  const random = new Random(7);
  const tensors = parameters(spec).map(({ name, shape }): WeightTensor => {
    const isNorm = name.endsWith('norm.weight');
    const values = Float32Array.from({ length: elementCount(shape) }, () => (isNorm ? 1 : 0) + 0.2 * random.normal());
    return { name, shape, dtype: 'f32', bytes: fromFloat32(values, 'f32') };
  });
  return memorySource('tiny', {
    'config.json': bytes,
    'model.safetensors': writeSafetensors(tensors, { format: 'pt' }),
  });
}

/** Rows of token ids of different lengths, with the first two masked. */
export function tokenRows(count: number, vocabSize = 40): Uint8Array {
  const random = new Random(3);
  const lines = Array.from({ length: count }, (_, row) => {
    const input_ids = Array.from({ length: 6 + (row % 9) }, () => random.uint32() % vocabSize);
    const labels = input_ids.map((id, i) => (i < 2 ? -100 : id));
    return JSON.stringify({ input_ids, labels });
  });
  return encodeUtf8(lines.join('\n'));
}

/** Expects a GraftError of this code whose message matches. */
export async function expectError(action: () => unknown, code: ErrorCode, message: RegExp): Promise<void> {
  const error: unknown = await Promise.resolve()
    .then(action)
    .then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
  expect(error).toBeInstanceOf(GraftError);
  expect((error as GraftError).code).toBe(code);
  expect((error as GraftError).message).toMatch(message);
}

/** The bytes of a checkpoint's file. */
export async function encodeCheckpoint(checkpoint: Checkpoint): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of checkpointFile(checkpoint).pieces()) pieces.push(piece);
  return new Uint8Array(Buffer.concat(pieces));
}

/** The checkpoint in a file, with all of its tensors in memory. */
export async function decodeCheckpoint(bytes: Uint8Array) {
  const read = (start: number, end: number) => Promise.resolve(bytes.subarray(start, end));
  const found = await readCheckpoint({ size: bytes.byteLength, read });
  if (!found) return undefined;
  const { state, best } = found;
  return { ...found, state: await Promise.all(state.map(wholeTensor)), best: best && (await wholeWeights(best)) };
}
