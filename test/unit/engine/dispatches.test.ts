/** What a training step of Llama-3.2-1B dispatches, and the bytes that it takes, on paper. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Kernel } from '../../../src/engine/graph/kernel';
import { PLAIN } from '../../../src/engine/graph/kernel';
import { planSession, type SessionPlan } from '../../../src/engine/session/plan-session';
import { readSpec } from '../../../src/formats/model';
import { planTrainSession, type TrainOptions } from '../../support/sessions';
import { files } from '../formats/support';

const config = JSON.parse(readFileSync('test/fixtures/configs/Llama-3.2-1B/config.json', 'utf8')) as object;

/** NF4-nested, LoRA r 16 on all linears, dropout 0.05, checkpointing, 4 × 2048. */
const options: TrainOptions = {
  spec: await readSpec(files({ 'config.json': config })),
  weightDType: 'bf16',
  quantization: { linears: 'nf4_nested' },
  lora: {
    r: 16,
    alpha: 32,
    dropout: 0.05,
    targetModules: ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'],
    useRslora: false,
    useDora: false,
  },
  seed: 1,
  batchSize: 4,
  lengths: [2048],
  gradientCheckpointing: true,
  adamw: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
  maxGradNorm: 1,
};

/** The kernels of a micro-batch, but for the head with its loss. */
function layerKernels({ train }: SessionPlan): Kernel[] {
  const nodes = train!.graphs.get('train:2048')!.liveNodes();
  return nodes.filter(({ op }) => !op.name.startsWith('headLoss')).flatMap((node) => node.op.kernels(node, PLAIN));
}

function counts(kernels: readonly Kernel[]): Map<string, number> {
  const found = new Map<string, number>();
  for (const { shader } of kernels) found.set(shader.name, (found.get(shader.name) ?? 0) + 1);
  return found;
}

describe('a micro-batch of Llama-3.2-1B', () => {
  const plan = planTrainSession(options, PLAIN);

  it('adds every gradient to its leaf where it is computed', () => {
    expect(counts(layerKernels(plan)).get('pointwise/accumulate')).toBe(1); // the loss
  });

  it('computes no activation and no mask again right after it was computed again', () => {
    const layers = counts(layerKernels(plan));
    // Forward, and recomputed for the gradients; one more where the most is held, as nothing more may be there.
    expect(layers.get('glu/forward')).toBeLessThanOrEqual(16 + 16 + 1);
    // Backward 7 a layer, less 3 in the first: products draw the others as they load.
    expect(layers.get('dropout/dropout')).toBe(7 * 16 - 3);
  });

  it('is of 2,013 dispatches at most beside the head', () => {
    expect(layerKernels(plan).length).toBeLessThanOrEqual(2013);
  });

  it('is of 2,300 dispatches at most, of which none takes 100 ms at 1 TFLOP/s', () => {
    const { kernels } = plan.programs.programs.find(({ name }) => name === 'train:2048')!;
    expect(kernels.length).toBeLessThanOrEqual(2300); // 7,022 with a head in chunks of 64 rows and accumulated gradients
    expect(Math.max(...kernels.map(({ flops }) => flops))).toBeLessThanOrEqual(1e11);
  });

  it('takes no more bytes than when gradients were values first', () => {
    expect(plan.memory.totalBytes).toBeLessThanOrEqual(3_759_669_872);
  });
});

it('dropouts are no part of products where a plan would get more bytes by it', () => {
  const lora = { ...options.lora!, r: 8, targetModules: ['down_proj'] };
  const rows = { lengths: [512], gradientCheckpointing: false, quantization: undefined };
  const plan = planTrainSession({ ...options, ...rows, lora, spec: { ...options.spec, numLayers: 3 } }, PLAIN);
  expect(plan.memory.totalBytes).toBeLessThanOrEqual(1_634_494_816);
});

it('no program of a model with biases has a kernel for them', () => {
  const spec = { ...options.spec, numLayers: 2, attentionBias: true };
  const rows = { batchSize: 2, lengths: [64] };
  const views = {
    train: options,
    score: rows,
    embed: { ...rows, gradients: true },
    decode: { batchSize: 1, maxLength: 32 },
  };
  const { programs } = planSession({ ...options, spec }, views, PLAIN).programs;
  const names = programs.flatMap(({ kernels }) => kernels.map(({ shader }) => shader.name));
  expect(names).toContain('sums/sum');
  expect(names).not.toContain('pointwise/add_bias');
});
