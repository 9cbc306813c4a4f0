import { expect, test } from 'vitest';
import { PLAIN } from '../../../src/engine/graph/kernel';
import { kernelWords } from '../../../src/ui/features/runs/kernels';
import { tinyLora, tinySpec } from '../../support/decoder-spec';
import { planTrainSession } from '../../support/sessions';

test.each([
  ['a card', PLAIN],
  ['a software adapter', { ...PLAIN, software: true, subgroups: true }],
])('every kernel of a training step on %s has a name in words', (_, capabilities) => {
  const options = {
    spec: { ...tinySpec, attentionBias: true },
    weightDType: 'f32',
    lora: { ...tinyLora, useDora: true },
    seed: 1,
    batchSize: 1,
    lengths: [16],
    gradientCheckpointing: true,
    adamw: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
    maxGradNorm: 1,
  } as const;
  const { programs } = planTrainSession(options, capabilities).programs;
  const names = new Set(programs.flatMap(({ kernels }) => kernels.map(({ shader }) => shader.name)));
  expect(names.size).toBeGreaterThan(15);
  expect([...names].filter((name) => kernelWords(name) === undefined)).toEqual([]);
});

test('sums of the update are not taken for others', () => {
  expect([kernelWords('optimizer/sum_squares'), kernelWords('sums/sum')]).toEqual(['The update', 'Sums']);
});
