/** Logits, loss and every gradient of small models against what Transformers computed. */
import { existsSync, readFileSync } from 'node:fs';
import { findGpu } from '../../../src/cli/gpu';
import { toFloat32 } from '../../../src/core/dtypes';
import { openEngine } from '../../../src/engine';
import { openModel } from '../../../src/formats/model';
import { relativeError } from '../../support/compare';
import { folder, goldenTensors } from '../../support/folder';
import { familyGolden, rows, type Golden } from '../../support/golden';
import { reference } from '../../support/reference';
import { openForward } from '../../support/sessions';
import type { Part } from '../types';

const FAMILIES = ['llama3', 'qwen2', 'gemma3'];
const STORIES = 'models/stories260K';

export const golden: Part = async ({ size }, tell) => {
  const models = [
    { name: 'stories260K', path: STORIES, load: stories },
    ...FAMILIES.map((name) => {
      const path = `golden/families/${name}`;
      return { name, path, load: () => familyGolden(reference(path)) };
    }),
  ].filter(({ path }) => existsSync(reference(path)));
  if (models.length === 0) tell({ kind: 'fact', name: 'golden models', value: 'none were carried: nothing compared' });
  const engine = await openEngine(await findGpu(process.env['GRAFT_ADAPTER']));
  for (const { name, path, load } of size === 'full' ? models : models.slice(0, 2)) {
    const expected = await load();
    const model = await openModel(folder(reference(path)));
    const session = await openForward(
      engine,
      {
        spec: model.spec,
        weightDType: 'f32',
        seed: 0,
        batchSize: expected.ids.length,
        lengths: [expected.ids[0]!.length],
        gradientCheckpointing: true,
        adamw: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
        maxGradNorm: 0,
      },
      model.weights(),
    );
    const { logits, loss, gradients } = await session.forward({ inputIds: expected.ids, labels: expected.labels });
    const [planned, live] = [session.plan.totalBytes, session.liveBytes.totalBytes];
    session.dispose();
    const found = new Map(gradients!.map((tensor) => [tensor.name, toFloat32(tensor.bytes, 'f32')]));
    const worst = Math.max(
      ...[...expected.gradients].map(([parameter, { values }]) => relativeError(found.get(parameter)!, values)),
    );
    const errors = {
      logits: { error: relativeError(logits, expected.logits), most: 2e-5 },
      loss: { error: Math.abs(loss! - expected.loss) / expected.loss, most: 1e-5 },
      'worst gradient': { error: worst, most: 1e-4 },
    };
    for (const [what, { error, most }] of Object.entries(errors)) {
      const detail = `relative error ${error.toExponential(1)}, at most ${most}`;
      tell({ kind: 'check', name: `${name}: ${what}`, passed: error < most, detail });
    }
    const bytes = `planned ${planned}, live ${live}`;
    tell({ kind: 'check', name: `${name}: bytes`, passed: planned === live, detail: bytes });
  }
};

async function stories(): Promise<Golden> {
  const source = folder(reference('golden'));
  const forward = await goldenTensors(source, 'stories260K_logits.safetensors');
  const ids = rows(forward.get('input_ids')!);
  const { loss } = JSON.parse(readFileSync(reference('golden/stories260K_forward.json'), 'utf8')) as { loss: number };
  const gradients = await goldenTensors(source, 'stories260K_grads.safetensors');
  return { ids, labels: ids, logits: forward.get('logits')!.values, gradients, loss };
}
