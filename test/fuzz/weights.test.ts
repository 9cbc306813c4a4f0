/** Broken weight files: safetensors, GGUF, and the index of a model in several files. */
import { readFileSync } from 'node:fs';
import { hubLayout } from '../../src/formats/gguf';
import { openModel } from '../../src/formats/model';
import { readAll, readHeader, writeSafetensors } from '../../src/formats/safetensors';
import { memorySource } from '../../src/formats/sources';
import { tinyModel } from '../unit/recipes/support';
import { fuzz } from './harness';
import { mutateBytes, mutateJson } from './mutate';

const encoder = new TextEncoder();
const zeros = (name: string, shape: number[]) => ({
  name,
  dtype: 'f16' as const,
  shape,
  bytes: new Uint8Array(2 * shape.reduce((product, n) => product * n, 1)),
});

/** A safetensors file of this header, with so many bytes of data. */
function withHeader(header: Uint8Array, dataBytes: number): Uint8Array {
  const file = new Uint8Array(8 + header.length + dataBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(header.length), true);
  file.set(header, 8);
  return file;
}

fuzz('safetensors', () => {
  const good = writeSafetensors([zeros('a', [2, 3]), zeros('b.weight', [4]), zeros('c', [])], { format: 'pt' });
  const headerEnd = 8 + Number(new DataView(good.buffer).getBigUint64(0, true));
  const header = new TextDecoder().decode(good.subarray(8, headerEnd));
  const values = [
    '"F32"',
    '"BF16"',
    '"F4"',
    '[0, 0]',
    '[4, 0]',
    '[0, 9007199254740991]',
    '[2, 3, 0]',
    '{"dtype": "F16"}',
  ];
  return {
    make: (random) =>
      random.chance(0.4)
        ? mutateBytes(good, random)
        : withHeader(mutateJson(header, random, values), good.length - headerEnd),
    read: async (bytes) => {
      await readHeader(memorySource('fuzz', { f: bytes }), 'f');
      return readAll(memorySource('fuzz', { f: bytes }), 'f');
    },
    bytes: (bytes) => bytes,
  };
});

fuzz('GGUF', () => {
  const names = ['llama', 'llama3', 'phi3-long', 'gemma2', 'qwen3', 'types'];
  const good = names.map((name) => new Uint8Array(readFileSync(`test/golden/gguf/${name}.gguf`)));
  return {
    make: (random) => mutateBytes(random.pick(good), random),
    read: async (bytes) => {
      const folder = memorySource('fuzz', { 'm.gguf': bytes });
      const source = await hubLayout(folder);
      for (const file of await source.list()) await source.read(file);
      const model = await openModel(folder);
      model.tokenizer?.encode('The tide is low.', { addSpecialTokens: true });
      for await (const slice of model.weights()) slice.bytes.at(0);
    },
    bytes: (bytes) => bytes,
    readable: 0.05,
  };
});

fuzz('weight index', async () => {
  const folder = await tinyModel();
  const whole = await folder.read('model.safetensors');
  const config = await folder.read('config.json');
  const tensors = await readAll(folder, 'model.safetensors');
  const half = tensors.length >> 1;
  const files = { 'model-00001.safetensors': tensors.slice(0, half), 'model-00002.safetensors': tensors.slice(half) };
  const map = Object.entries(files).flatMap(([file, held]) => held.map(({ name }) => [name, file] as const));
  const index = { metadata: { total_size: whole.byteLength }, weight_map: Object.fromEntries(map) };
  const stored = Object.entries(files).map(([file, held]): [string, Uint8Array] => [file, writeSafetensors(held)]);
  const values = [
    '"model-00001.safetensors"',
    '"model-00002.safetensors"',
    '"../model-00001.safetensors"',
    '"config.json"',
  ];
  return {
    make: (random) =>
      random.chance(0.1)
        ? mutateBytes(encoder.encode(JSON.stringify(index)), random)
        : mutateJson(JSON.stringify(index), random, values),
    read: (bytes) =>
      openModel(
        memorySource('fuzz', {
          'config.json': config,
          'model.safetensors.index.json': bytes,
          ...Object.fromEntries(stored),
        }),
      ),
    bytes: (bytes) => bytes,
    readable: 0.05,
  };
});
