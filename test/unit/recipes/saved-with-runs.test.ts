/** What runs, merges and questions do around the arithmetic, on a device that computes nothing (Dawn's null backend). */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TrainEvent } from '../../../src/core/events';
import { elementCount, fromFloat32 } from '../../../src/core/dtypes';
import { adapterParameters, type LoraSpec } from '../../../src/core/spec';
import { decodeUtf8, encodeUtf8, type FileSource } from '../../../src/core/store';
import { openEngine, type Engine } from '../../../src/engine';
import { openModel } from '../../../src/formats/model';
import { adapterFiles, readAdapter } from '../../../src/formats/peft';
import { memorySource } from '../../../src/formats/sources';
import { finetune, mergeModel, openGenerator } from '../../../src/recipes';
import { nullGpu } from '../../support/gpu';
import { files, folder } from '../formats/support';
import { expectError, MemoryStore, run, tinyModel } from './support';

const TEMPLATE = 'chat_template.jinja';
let engine: Engine;
beforeAll(async () => {
  engine = await openEngine(nullGpu());
});
afterAll(() => engine.destroy());

/** The starter without a chat template. */
async function plainStarter(): Promise<FileSource> {
  const starter = folder('public/models/starter');
  const held: Record<string, Uint8Array | object> = {};
  for (const name of await starter.list()) held[name] = await starter.read(name);
  const config = JSON.parse(decodeUtf8(held['tokenizer_config.json'] as Uint8Array)) as object;
  return files({ ...held, 'tokenizer_config.json': { ...config, chat_template: null } });
}

const ROWS = encodeUtf8('{"question": "Who?", "answer": "Me."}\n{"question": "Why?", "answer": "So."}\n');

async function train(
  store: MemoryStore,
  more: { run?: Record<string, string>; adapter?: FileSource; resume?: boolean },
) {
  const modelFiles = await plainStarter();
  const notices: string[] = [];
  const report = (event: TrainEvent) => {
    if (event.kind === 'notice') notices.push(event.message);
  };
  const settings = { max_steps: '2', per_device_train_batch_size: '2', gradient_accumulation_steps: '1', ...more.run };
  const input = {
    run: run({ lora_r: '2', lora_target_modules: 'q_proj', max_length: '64', ...settings }),
    model: await openModel(modelFiles),
    modelFiles,
    dataset: { name: 'rows.jsonl', bytes: ROWS },
    openEngine: () => Promise.resolve(engine),
    store,
    adapter: more.adapter,
    resume: more.resume ?? false,
  };
  await finetune(input, report);
  return notices;
}

const asFolder = (store: MemoryStore) => memorySource('run', Object.fromEntries(store.files));

describe('a model without a chat template', () => {
  test('leaves the one that was trained with the adapter, and what goes on from it', async () => {
    const first = new MemoryStore();
    await train(first, {});
    expect(decodeUtf8(first.files.get(TEMPLATE)!)).toContain('### Response:');
    expect([...first.files.keys()]).toEqual(expect.arrayContaining(['tokenizer.json', 'tokenizer_config.json']));
    const record = JSON.parse(decodeUtf8(first.files.get('graft.json')!)) as { files_sha256: object };
    expect(Object.keys(record.files_sha256)).toContain(TEMPLATE);
    const second = new MemoryStore();
    await train(second, { adapter: asFolder(first) });
    expect(second.files.get(TEMPLATE)).toEqual(first.files.get(TEMPLATE));
    // The same adapter, and so the same run, whichever template is beside it.
    await train(first, { resume: true });
  });

  test('is whole where every parameter was trained, and where an adapter was merged', async () => {
    const full = new MemoryStore();
    await train(full, { run: { use_peft: 'false' } });
    const adapter = new MemoryStore();
    await train(adapter, {});
    const merged = new MemoryStore();
    const modelFiles = await plainStarter();
    const model = await openModel(modelFiles);
    await mergeModel({ model, modelFiles, adapter: asFolder(adapter), engine, store: merged }, () => undefined);
    for (const { files: written } of [full, merged]) {
      expect(decodeUtf8(written.get(TEMPLATE)!)).toContain('### Response:');
      const opened = await openModel(memorySource('written', Object.fromEntries(written)));
      expect(opened.template!.source).toBe(TEMPLATE);
      const { eos_token_id: stops } = JSON.parse(decodeUtf8(written.get('generation_config.json')!)) as {
        eos_token_id: number[];
      };
      expect(stops).toEqual(expect.arrayContaining([...opened.tokenizer!.stopTokenIds]));
    }
  });

  test('says what differs where its finished run is to go on with other settings', async () => {
    const store = new MemoryStore();
    await train(store, {});
    await expectError(() => train(store, { resume: true, run: { seed: '9' } }), 'bad-config', /seed is 9/);
  });
});

describe('ranks and alphas of single modules', () => {
  const overrides = {
    'model.layers.0.self_attn.q_proj': { r: 4, alpha: 3 },
    'model.layers.1.mlp.down_proj': { r: 2, alpha: 9 },
  };
  const base = { r: 2, alpha: 4, dropout: 0, targetModules: ['q_proj', 'down_proj'], useRslora: false };

  test.each([false, true])('are asked and merged (DoRA %s)', async (useDora) => {
    const lora: LoraSpec = { ...base, useDora, overrides };
    const modelFiles = await tinyModel();
    const model = await openModel(modelFiles);
    const tensors = adapterParameters(model.spec, lora).map(({ name, shape }) => {
      return { name, shape, dtype: 'f32' as const, bytes: fromFloat32(new Float32Array(elementCount(shape)), 'f32') };
    });
    const written = adapterFiles({ lora, baseModel: 'tiny', tensors });
    const adapter = files(Object.fromEntries(written.map(({ name, bytes }) => [name, bytes])));
    expect(JSON.parse(decodeUtf8(await adapter.read('adapter_config.json')))).toMatchObject({
      rank_pattern: { 'model.layers.0.self_attn.q_proj': 4 },
      alpha_pattern: { 'model.layers.0.self_attn.q_proj': 3, 'model.layers.1.mlp.down_proj': 9 },
    });
    const content = await readAdapter(adapter);
    expect(content.lora!.overrides).toEqual(overrides);
    const generator = await openGenerator({ model, engine, adapter: { name: 'mine', content } });
    generator.dispose();
    const store = new MemoryStore();
    await mergeModel({ model, modelFiles, adapter, engine, store }, () => undefined);
    expect((await openModel(asFolder(store))).weightBytes).toBe(model.weightBytes);
  });
});
