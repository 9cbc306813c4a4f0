import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openEngine, type Engine } from '../../../src/engine';
import { openModel } from '../../../src/formats/model';
import { folder } from '../../support/folder';
import { testGpu } from '../../support/gpu';
import { greedy } from '../../support/greedy';
import { hasReference, reference } from '../../support/reference';
import { relativeError } from '../../support/compare';
import { openDecoding } from '../../support/sessions';

const FAMILIES = ['llama2', 'llama3', 'tinyllama', 'mistral', 'qwen2', 'qwen3', 'phi3', 'smollm3', 'gemma2', 'gemma3'];

describe.skipIf(!hasReference)('decoding with a KV cache', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await openEngine((await testGpu()).gpu);
  });
  afterAll(() => engine.destroy());

  for (const name of FAMILIES) {
    it(`${name} continues greedily as Transformers does, alone and beside other sequences`, async () => {
      const model = await openModel(folder(reference('golden/families', name)));
      const expected = JSON.parse(readFileSync(reference('golden/families', name, 'expected.json'), 'utf8')) as {
        prompt_ids: number[];
        greedy_ids: number[];
      };
      const { prompt_ids: prompt, greedy_ids: answer } = expected;
      const { spec } = model;
      const maxLength = prompt.length + answer.length;
      const options = { spec, weightDType: 'f32' as const, maxLength };
      const alone = await openDecoding(engine, { ...options, batchSize: 1 }, model.weights());
      expect(await greedy(alone, [prompt], answer.length, spec.vocabSize)).toEqual([answer]);
      expect(alone.liveBytes).toEqual(alone.plan);
      const short = prompt.slice(0, 3);
      const shortAlone = await greedy(alone, [short], 8, spec.vocabSize);
      alone.dispose();

      const batched = await openDecoding(engine, { ...options, batchSize: 5 }, model.weights());
      const answers = await greedy(batched, [prompt, short, prompt], answer.length, spec.vocabSize);
      expect(answers[0]).toEqual(answer);
      expect(answers[1]!.slice(0, 8)).toEqual(shortAlone[0]);
      expect(answers[2]).toEqual(answer);
      batched.dispose();
    });
  }

  it('16-bit weights give the logits of their rounded values', async () => {
    const model = await openModel(folder(reference('models/stories260K')));
    const { spec } = model;
    const prompt = [1, 403, 407, 261, 378];
    const logits = new Map<string, Float32Array>();
    for (const weightDType of ['f32', 'f16', 'bf16'] as const) {
      const session = await openDecoding(engine, { spec, weightDType, batchSize: 1, maxLength: 64 }, model.weights());
      logits.set(weightDType, await session.prefill([prompt]));
      session.dispose();
    }
    expect(relativeError(logits.get('f16')!, logits.get('f32')!)).toBeLessThan(2e-3);
    expect(relativeError(logits.get('bf16')!, logits.get('f32')!)).toBeLessThan(2e-2);
    expect(relativeError(logits.get('bf16')!, logits.get('f32')!)).toBeGreaterThan(1e-5);
  });
});
