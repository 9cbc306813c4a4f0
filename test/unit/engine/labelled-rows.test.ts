/** What a run leaves out of the head: rows that have no label, whatever is minimised. */
import { describe, expect, it } from 'vitest';
import { PLAIN, workgroupsFor, type Kernel } from '../../../src/engine/graph/kernel';
import type { ObjectiveOptions } from '../../../src/engine';
import { LLAMA_1B, LORA } from '../../bench/models';
import { planTrainSession } from '../../support/sessions';

const BATCH = 4;
const LENGTH = 512;

/** What the kernels that work by rows compute in a run of so many of them, in flops. */
function work(kernels: readonly Kernel[], count: number): number {
  return kernels.reduce((sum, kernel) => {
    if (!kernel.rows || !workgroupsFor(kernel, count)) return sum;
    return sum + (kernel.flops * Math.min(kernel.rows.count, count - kernel.rows.first)) / kernel.rows.count;
  }, 0);
}

describe('a training step in which one row of eight is labelled', () => {
  it.each<[string, ObjectiveOptions | undefined]>([
    ['supervised', undefined],
    ['of preferences', { kind: 'dpo', beta: 0.1, reference: 'base' }],
    ['against weighted targets', { kind: 'weighted-targets', targets: 8 }],
    ['of distillation', { kind: 'distill', targets: 8, beta: 0, temperature: 1, tail: true }],
  ])('%s computes about an eighth of the head', (_, objective) => {
    const { programs } = planTrainSession(
      {
        spec: LLAMA_1B.spec,
        weightDType: 'bf16',
        lora: LORA,
        seed: 1,
        batchSize: BATCH,
        lengths: [LENGTH],
        gradientCheckpointing: true,
        adamw: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
        maxGradNorm: 1,
        ...(objective && { objective }),
      },
      PLAIN,
    );
    const { kernels } = programs.programs.find(({ name }) => name === `train:${LENGTH}`)!;
    const { vocabSize, hiddenSize } = LLAMA_1B.spec;
    const rows = BATCH * LENGTH;
    expect(work(kernels, rows)).toBeGreaterThan(4 * rows * vocabSize * hiddenSize); // logits, and what they give back
    expect(work(kernels, rows / 8) / work(kernels, rows)).toBeLessThan(0.13);
  });
});
