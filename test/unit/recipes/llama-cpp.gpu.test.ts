/** llama.cpp itself loads what we export, reads prompts as we do, and says the same. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FolderStore, openFolder } from '../../../src/cli/folders';
import { elementCount, fromFloat32 } from '../../../src/core/dtypes';
import { Random } from '../../../src/core/rng';
import { adapterParameters, type DecoderSpec, type LoraSpec } from '../../../src/core/spec';
import type { FileSource } from '../../../src/core/store';
import { openEngine, type Engine } from '../../../src/engine';
import { openGguf } from '../../../src/formats/gguf';
import { openModel } from '../../../src/formats/model';
import { adapterFiles, readAdapter } from '../../../src/formats/peft';
import { memorySource } from '../../../src/formats/sources';
import { exportGguf, exportLora, openGenerator } from '../../../src/recipes';
import { askLlama, hasLlama } from '../../llama/llama';
import { testGpu } from '../../support/gpu';
import { hasReference, reference } from '../../support/reference';

let engine: Engine;
const folder = mkdtempSync(join(tmpdir(), 'graft-llama-'));
beforeAll(async () => {
  engine = await openEngine((await testGpu()).gpu);
});
afterAll(() => {
  engine.destroy();
  rmSync(folder, { recursive: true, force: true });
});

const ANSWER = 32;
const GREEDY = { maxNewTokens: ANSWER, temperature: 0, topP: 1, topK: 0, seed: 0, stop: [] };
/** llama.cpp rounds what it multiplies quantised weights with to 8 bits: of two likely tokens it may take the other. */
const SURE = 8;
const MODELS = ['public/models/starter', ...(hasReference ? [reference('models/stories260K')] : [])];

/** A LoRA adapter of random numbers, large enough to change what is said. */
function randomAdapter(spec: DecoderSpec, lora: LoraSpec): FileSource {
  const random = new Random(11);
  const tensors = adapterParameters(spec, lora).map(({ name, shape }) => {
    const values = Float32Array.from({ length: elementCount(shape) }, () => 0.1 * random.normal());
    return { name, shape, dtype: 'f32' as const, bytes: fromFloat32(values, 'f32') };
  });
  const files = adapterFiles({ lora, baseModel: 'base', tensors });
  return memorySource('adapter', Object.fromEntries(files.map(({ name, bytes }) => [name, bytes])));
}

describe.skipIf(!hasLlama)('an adapter in llama.cpp', () => {
  const plain: LoraSpec = {
    ...{ r: 4, alpha: 6, dropout: 0, useRslora: false, useDora: false },
    targetModules: ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'],
  };
  const overrides = {
    'model.layers.0.self_attn.q_proj': { r: 2, alpha: 9 },
    'model.layers.2.mlp.down_proj': { r: 8, alpha: 5 },
  };

  it.each([
    ['LoRA', plain],
    ['rsLoRA', { ...plain, useRslora: true }],
    ['rsLoRA with ranks of their own', { ...plain, useRslora: true, overrides }],
  ])('gives the answers of Graft and of the merged file (%s)', async (_what, lora) => {
    const modelFiles = await openFolder('public/models/starter');
    const model = await openModel(modelFiles);
    const adapter = randomAdapter(model.spec, lora);
    const store = new FolderStore(folder);
    await exportGguf({ model, modelFiles, store, file: 'base.gguf', type: 'F32' }, () => undefined);
    await exportGguf({ model, modelFiles, adapter, engine, store, file: 'merged.gguf', type: 'F32' }, () => undefined);
    await exportLora({ model, adapter, store, file: 'lora.gguf', type: 'F32' });
    const text = 'Once upon a time there was a';
    const [base] = await askLlama(join(folder, 'base.gguf'), [text], ANSWER);
    const [applied] = await askLlama(join(folder, 'base.gguf'), [text], ANSWER, join(folder, 'lora.gguf'));
    const [merged] = await askLlama(join(folder, 'merged.gguf'), [text], ANSWER);
    const content = await readAdapter(adapter);
    const generator = await openGenerator({ model, engine, adapter: { name: 'adapter', content }, contextLength: 128 });
    const answer = await generator.generate({ kind: 'text', text }, { ...GREEDY, useAdapter: true });
    generator.dispose();
    expect(applied!.answer).toEqual(answer.ids);
    expect(merged!.answer.slice(0, SURE)).toEqual(answer.ids.slice(0, SURE));
    expect(base!.answer).not.toEqual(answer.ids);
  });
});

describe.skipIf(!hasLlama)('an exported file in llama.cpp', () => {
  for (const path of MODELS) {
    it.each(['F32', 'Q8_0', 'Q4_K_M'] as const)(`says what Graft says (${path}, %s)`, async (type) => {
      const modelFiles = await openFolder(path);
      const model = await openModel(modelFiles);
      const file = `${type}.gguf`;
      await exportGguf({ model, modelFiles, store: new FolderStore(folder), file, type }, () => undefined);
      const conversation = { messages: [{ role: 'user', content: 'Tell me a story about a bird.' }] };
      const isAsked = model.template!.source !== 'alpaca';
      const texts = [
        'Once upon a time there was a',
        "She didn't know that it's 12 o'clock, naïve as she was.\n\nThen",
        ...(isAsked ? [model.template!.render(conversation, { addGenerationPrompt: true })] : []),
      ];
      const said = await askLlama(join(folder, file), texts, ANSWER);
      const opened = await openModel(await openGguf(await openFolder(folder), file));
      const generator = await openGenerator({ model: opened, engine, contextLength: 128 });
      try {
        for (const [i, text] of texts.entries()) {
          const ids = model.tokenizer!.encode(text, { addSpecialTokens: false });
          expect(said[i]!.prompt, text).toEqual(ids);
          const answer = await generator.generate({ kind: 'tokens', ids }, { ...GREEDY, useAdapter: false });
          const most = type === 'F32' || i === 0 ? ANSWER : SURE;
          expect(said[i]!.answer.slice(0, most), text).toEqual(answer.ids.slice(0, most));
        }
      } finally {
        generator.dispose();
      }
    });
  }
});
