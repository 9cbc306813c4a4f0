/** The files of a merged model, on a device that computes nothing (Dawn's null backend). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { elementCount, fromFloat32, type FloatDType } from '../../../src/core/dtypes';
import { GraftError } from '../../../src/core/errors';
import { Random } from '../../../src/core/rng';
import { adapterParameters, parameters, type LoraSpec } from '../../../src/core/spec';
import { decodeUtf8, type FileSource } from '../../../src/core/store';
import { openEngine, type Engine } from '../../../src/engine';
import { openModel, readSpec } from '../../../src/formats/model';
import { adapterFiles } from '../../../src/formats/peft';
import { readAll, readHeader, writeSafetensors } from '../../../src/formats/safetensors';
import { memorySource } from '../../../src/formats/sources';
import { mergeModel } from '../../../src/recipes';
import { planWeightFiles } from '../../../src/recipes/steps/weight-files';
import { CollectedFiles } from '../../../workers/runs/collected';
import { nullGpu } from '../../support/gpu';
import { expectError, MemoryStore, tinyModel } from './support';

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine(nullGpu());
});
afterAll(() => engine.destroy());

const INDEX = 'model.safetensors.index.json';
const lora: LoraSpec = { r: 2, alpha: 4, dropout: 0, targetModules: ['q_proj'], useRslora: false, useDora: false };

/** The tiny model with norms in f32 and the rest in bf16, as many models have them. */
async function mixedModel(): Promise<FileSource> {
  const config = await (await tinyModel()).read('config.json');
  const random = new Random(5);
  const tensors = parameters(await readSpec(memorySource('mixed', { 'config.json': config }))).map(
    ({ name, shape }) => {
      const dtype: FloatDType = name.endsWith('norm.weight') ? 'f32' : 'bf16';
      const values = Float32Array.from({ length: elementCount(shape) }, () => random.normal());
      return { name, shape, dtype, bytes: fromFloat32(values, dtype) };
    },
  );
  return memorySource('mixed', { 'config.json': config, 'model.safetensors': writeSafetensors(tensors) });
}

async function merge(modelFiles: FileSource, store: MemoryStore | CollectedFiles, shardBytes?: number) {
  const model = await openModel(modelFiles);
  const tensors = adapterParameters(model.spec, lora).map(({ name, shape }) => {
    return { name, shape, dtype: 'f32' as const, bytes: fromFloat32(new Float32Array(elementCount(shape)), 'f32') };
  });
  const written = adapterFiles({ lora, baseModel: 'tiny', tensors });
  const adapter = memorySource('adapter', Object.fromEntries(written.map(({ name, bytes }) => [name, bytes])));
  const sizes = shardBytes === undefined ? {} : { shardBytes };
  return mergeModel({ model, modelFiles, adapter, engine, store, ...sizes }, () => undefined);
}

describe('a merged model', () => {
  it('of mixed types has an index that counts them, and opens', async () => {
    const base = await mixedModel();
    const store = new MemoryStore();
    const files = await merge(base, store, 8_000);
    expect(files.filter((name) => name.endsWith('.safetensors')).length).toBeGreaterThan(3);
    const merged = memorySource('merged', Object.fromEntries(store.files));
    const before = await openModel(base);
    const after = await openModel(merged);
    expect([after.weightBytes, [...after.dtypes].sort()]).toEqual([before.weightBytes, [...before.dtypes].sort()]);
    const index = JSON.parse(decodeUtf8(store.files.get(INDEX)!)) as {
      metadata: { total_size: number };
      weight_map: Record<string, string>;
    };
    expect(index.metadata.total_size).toBe(before.weightBytes);
    const wanted = new Map((await readAll(base, 'model.safetensors')).map((tensor) => [tensor.name, tensor]));
    for (const file of files.filter((name) => name.endsWith('.safetensors'))) {
      const { tensors } = await readHeader(merged, file);
      for (const { name, start, dtype } of tensors) {
        expect(index.weight_map[name], name).toBe(file);
        expect(start % (dtype === 'F32' ? 4 : 2), name).toBe(0);
      }
      for (const tensor of await readAll(merged, file)) {
        if (!tensor.name.includes('q_proj')) expect(tensor, tensor.name).toEqual(wanted.get(tensor.name));
      }
    }
  });

  it('goes to a download in pieces, of which it never holds a file', async () => {
    const base = await tinyModel();
    const collected = new CollectedFiles();
    const memory = new MemoryStore();
    await merge(base, collected, 8_000);
    await merge(base, memory, 8_000);
    const sizes = collected.files().map(({ name, blob }) => [name, blob.size]);
    expect(sizes).toEqual([...memory.files].map(([name, bytes]) => [name, bytes.byteLength]));
    const files = await Promise.all(
      collected.files().map(async ({ name, blob }) => [name, new Uint8Array(await blob.arrayBuffer())] as const),
    );
    const opened = await openModel(memorySource('collected', Object.fromEntries(files)));
    expect(opened.weightBytes).toBe((await openModel(base)).weightBytes);
  });

  it('leaves no file where its weights end early', async () => {
    const base = await tinyModel();
    const cut: FileSource = {
      ...base,
      read: async (file, start = 0, end?) => {
        if (file === 'model.safetensors' && start > 9_000) throw new GraftError('storage', 'The disk is gone.');
        return base.read(file, start, end);
      },
    };
    const store = new MemoryStore();
    await expectError(() => merge(cut, store), 'storage', /disk is gone/);
    expect([...store.files.keys()]).toEqual([]);
  });
});

describe('the plan of weight files', () => {
  it('keeps the order in which tensors come, unless one would begin between the bytes of an element', async () => {
    const model = await openModel(await mixedModel());
    const names = [...model.dtypes.keys()];
    const [file] = planWeightFiles(model);
    expect(file!.tensors.map(({ name }) => name)).toEqual(names);
    const odd = { ...model.spec, vocabSize: 41, hiddenSize: 31 };
    const [norm] = names.filter((name) => name.endsWith('norm.weight'));
    const dtypes = new Map<string, FloatDType>([
      ['model.embed_tokens.weight', 'bf16'],
      [norm!, 'f32'],
    ]);
    const [sorted] = planWeightFiles({ spec: odd, dtypes });
    expect(sorted!.tensors.map(({ name }) => name)).toEqual([norm, 'model.embed_tokens.weight']);
  });

  it('stays below the largest buffer of a browser', async () => {
    const model = await openModel(await tinyModel({ hidden_size: 32 }));
    const spec = { ...model.spec, vocabSize: 12_000_000 };
    const dtypes = new Map<string, FloatDType>([...model.dtypes.keys()].map((name) => [name, 'f32']));
    const files = planWeightFiles({ spec: { ...spec, numLayers: 2 }, dtypes });
    expect(files).toHaveLength(2);
    for (const { size, tensors } of files) expect(tensors.length > 1 && size > 2 ** 30 + 100_000).toBe(false);
  });
});
