import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toFloat32 } from '../../../src/core/dtypes';
import { openEngine, type Batch, type Engine } from '../../../src/engine';
import { openModel } from '../../../src/formats/model';
import { readAdapter } from '../../../src/formats/peft';
import { relativeError } from '../../support/compare';
import { folder } from '../../support/folder';
import { testGpu } from '../../support/gpu';
import { hasReference, reference } from '../../support/reference';

interface Trajectory {
  settings: {
    weight_decay: number;
    adam_beta1: number;
    adam_beta2: number;
    adam_epsilon: number;
    max_grad_norm: number;
  };
  steps: {
    loss: number;
    grad_norm: number;
    learning_rate: number;
    micro_batches: { input_ids: number[][]; labels: number[][] }[];
  }[];
}

describe.skipIf(!hasReference)('training trajectories against PEFT', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await openEngine((await testGpu()).gpu);
  });
  afterAll(() => engine.destroy());

  for (const name of ['lora_all', 'lora_qv', 'rslora', 'dora']) {
    it(`${name}: loss and gradient norm at each step, and the final adapter`, async () => {
      const path = (file: string) => reference('golden/adapters', name, file);
      const { settings, steps } = JSON.parse(readFileSync(path('trajectory.json'), 'utf8')) as Trajectory;
      const model = await openModel(folder(reference('models/stories260K')));
      const initial = await readAdapter(folder(path('adapter_init')));
      const final = await readAdapter(folder(path('adapter_final')));
      const lengths = [...new Set(steps.flatMap((step) => step.micro_batches.map(longest)))].sort((a, b) => a - b);
      const session = await engine.createTrainSession(
        {
          spec: model.spec,
          weightDType: 'f32',
          lora: initial.lora,
          seed: 1,
          batchSize: 2,
          lengths,
          gradientCheckpointing: true,
          adamw: {
            beta1: settings.adam_beta1,
            beta2: settings.adam_beta2,
            epsilon: settings.adam_epsilon,
            weightDecay: settings.weight_decay,
          },
          maxGradNorm: settings.max_grad_norm,
        },
        model.weights(),
      );
      await session.importParameters(initial.tensors);
      for (const [i, expected] of steps.entries()) {
        const batches = expected.micro_batches.map((batch): Batch => ({
          inputIds: batch.input_ids,
          labels: batch.labels,
        }));
        const { loss, gradNorm } = await session.step(batches, i, expected.learning_rate);
        expect(Math.abs(loss / expected.loss - 1), `loss of step ${i}`).toBeLessThan(1e-4);
        expect(Math.abs(gradNorm / expected.grad_norm - 1), `gradient norm of step ${i}`).toBeLessThan(1e-4);
      }
      const trained = new Map((await session.exportParameters()).map((tensor) => [tensor.name, tensor]));
      session.dispose();
      for (const expected of final.tensors) {
        const actual = toFloat32(trained.get(expected.name)!.bytes, 'f32');
        expect(relativeError(actual, toFloat32(expected.bytes, 'f32')), expected.name).toBeLessThan(1e-4);
      }
    });
  }
});

function longest(batch: { input_ids: number[][] }): number {
  return Math.max(...batch.input_ids.map((row) => row.length));
}
