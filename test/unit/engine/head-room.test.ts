/** The head in a plan: large chunks in slots that are free, fewer dispatches, no more bytes than before there were such. */
import { describe, expect, it } from 'vitest';
import { PLAIN } from '../../../src/engine/graph/kernel';
import type { Tensor } from '../../../src/engine/graph/tensor';
import { batchLeaves } from '../../../src/engine/model/batch';
import { roomierScratch, type HeadSizes } from '../../../src/engine/ops/head_tiles';
import { LLAMA_1B, LORA } from '../../bench/models';
import { planTrainSession } from '../../support/sessions';

describe('a training step of Llama-3.2-1B, NF4, LoRA on all linears, dropout, checkpointing, 4 × 2048 tokens', () => {
  const { programs, memory } = planTrainSession(
    {
      spec: LLAMA_1B.spec,
      weightDType: 'bf16',
      quantization: { linears: 'nf4_nested' },
      lora: { ...LORA, dropout: 0.05 },
      seed: 1,
      batchSize: 4,
      lengths: [2048],
      gradientCheckpointing: true,
      adamw: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
      maxGradNorm: 1,
    },
    PLAIN,
  );
  const kernels = (name: string) => programs.programs.find((program) => program.name === name)!.kernels;

  it('takes few dispatches, none longer than 100 ms at 1 TFLOP/s', () => {
    expect(kernels('train:2048').length).toBeLessThan(3500);
    expect(kernels('eval:2048').length).toBeLessThan(1000);
    expect(Math.max(...kernels('train:2048').map(({ flops }) => flops))).toBeLessThanOrEqual(1e11);
  });

  it('takes no more bytes than with the least chunks', () => {
    expect(memory.totalBytes).toBeLessThanOrEqual(3_761_897_328);
  });

  it('writes into no slot that holds what is read later', () => {
    const alive = new Map<Tensor, { first: number; last: number }>();
    const ofHead = new Set<number>();
    kernels('train:2048').forEach(({ shader, bindings }, time) => {
      for (const operand of bindings) {
        const tensor = operand && ('tensor' in operand ? operand.tensor : operand);
        if (!tensor || tensor.leaf) continue;
        alive.set(tensor, { first: alive.get(tensor)?.first ?? time, last: time });
        if (shader.name.startsWith('head/')) ofHead.add(programs.slotOf.get(tensor)!);
      }
    });
    // The hidden states of the labelled rows, their gradients, three buffers by row, and logits.
    expect(ofHead.size).toBeGreaterThanOrEqual(6);
    for (const slot of ofHead) {
      const held = [...alive].filter(([tensor]) => programs.slotOf.get(tensor) === slot).map(([, times]) => times);
      held.sort((a, b) => a.first - b.first);
      // A value may take the place of an operand of the kernel that makes it.
      held.slice(1).forEach(({ first }, index) => expect(first).toBeGreaterThanOrEqual(held[index]!.last));
    }
  });
});

describe('scratch of larger chunks', () => {
  const sizes: HeadSizes = { rows: 1000, channels: 16, columns: [16_384, 16_384, 500], trained: false };
  const chunk = (free: number[], trained = false) =>
    roomierScratch({ ...sizes, trained }, free).find((type) => type?.shape[1] === 16)?.shape[0];
  const MIB = 2 ** 20;
  const small = [MIB, MIB, MIB, MIB];

  it('is as large as the slots allow, in even chunks', () => {
    expect(chunk([1000 * MIB, ...small])).toBe(1024);
    expect(chunk([64 * MIB, 64 * MIB, ...small])).toBe(512);
    expect(chunk([64 * MIB, 64 * MIB, ...small], true)).toBe(256);
  });

  it('is none where nothing more fits, or there is no slot for each of its buffers', () => {
    expect(roomierScratch(sizes, [MIB])).toEqual([]);
    expect(roomierScratch(sizes, [1000 * MIB, MIB])).toEqual([]);
    expect(roomierScratch({ ...sizes, rows: 5 }, [1000 * MIB])).toEqual([]);
  });
});

describe('the labelled rows of a batch', () => {
  it('are listed in order, and counted', () => {
    const batch = {
      inputIds: [
        [1, 2, 3, 4],
        [5, 6],
      ],
      labels: [
        [-100, 2, -100, 4],
        [-100, 6],
      ],
    };
    const { labelled, labelledCount } = batchLeaves(batch, 2, 5, 10);
    expect(labelledCount).toBe(3);
    expect([...labelled.subarray(0, 4)]).toEqual([0, 2, 5, 2 ** 32 - 1]);
  });
});
