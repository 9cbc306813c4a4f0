import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openEngine, type Engine } from '../../../src/engine';
import { toFloat32 } from '../../../src/core/dtypes';
import { openModel } from '../../../src/formats/model';
import { relativeError } from '../../support/compare';
import { folder, goldenTensors } from '../../support/folder';
import { familyGolden, rows, type Golden } from '../../support/golden';
import { hasReference, reference } from '../../support/reference';
import { testGpu } from '../../support/gpu';
import { openForward } from '../../support/sessions';

const ADAMW = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 };

async function stories(): Promise<Golden> {
  const source = folder(reference('golden'));
  const forward = await goldenTensors(source, 'stories260K_logits.safetensors');
  const ids = rows(forward.get('input_ids')!);
  const { loss } = JSON.parse(readFileSync(reference('golden/stories260K_forward.json'), 'utf8')) as { loss: number };
  return {
    ids,
    labels: ids,
    logits: forward.get('logits')!.values,
    gradients: await goldenTensors(source, 'stories260K_grads.safetensors'),
    loss,
  };
}

describe.skipIf(!hasReference)('the decoder against Transformers', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await openEngine((await testGpu()).gpu);
  });
  afterAll(() => engine.destroy());

  const cases = [
    ['stories260K', () => stories(), 'models/stories260K'],
    ...['llama2', 'llama3', 'tinyllama', 'mistral', 'qwen2', 'qwen3', 'phi3', 'smollm3', 'gemma2', 'gemma3'].map(
      (name) => [name, () => familyGolden(reference('golden/families', name)), `golden/families/${name}`] as const,
    ),
  ] as const;

  for (const [name, load, path] of cases) {
    it(`${name}: logits, loss and every gradient`, async () => {
      const golden = await load();
      const model = await openModel(folder(reference(path)));
      for (const gradientCheckpointing of [false, true]) {
        const session = await openForward(
          engine,
          {
            spec: model.spec,
            weightDType: 'f32',
            seed: 0,
            batchSize: golden.ids.length,
            lengths: [golden.ids[0]!.length],
            gradientCheckpointing,
            adamw: ADAMW,
            maxGradNorm: 0,
          },
          model.weights(),
        );
        expect(session.liveBytes).toEqual(session.plan);
        const result = await session.forward({ inputIds: golden.ids, labels: golden.labels });
        expect(session.liveBytes).toEqual(session.plan);
        session.dispose();
        expect(relativeError(result.logits, golden.logits)).toBeLessThan(2e-5);
        expect(Math.abs(result.loss! - golden.loss) / golden.loss).toBeLessThan(1e-5);
        const gradients = new Map(result.gradients!.map((tensor) => [tensor.name, toFloat32(tensor.bytes, 'f32')]));
        for (const [parameter, expected] of golden.gradients) {
          expect(relativeError(gradients.get(parameter)!, expected.values), parameter).toBeLessThan(1e-4);
        }
      }
    });
  }
});
