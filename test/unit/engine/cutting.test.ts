/** How many dispatches work is cut into: none that holds a card for long, none that leaves it idle. */
import { describe, expect, it } from 'vitest';
import { Graph } from '../../../src/engine/graph/graph';
import { PLAIN, workgroupsFor, type KernelCapabilities } from '../../../src/engine/graph/kernel';
import {
  dispatchesFor,
  dispatchFlops,
  DISPATCH_FLOPS,
  ENOUGH_WORKGROUPS,
  QUICK_FLOPS,
} from '../../../src/engine/ops/cutting';
import { linear, matmul } from '../../../src/engine/ops/matmul';

const SOFTWARE: KernelCapabilities = { subgroups: true, f16: true, software: true };

function kernelsOf(m: number, n: number, k: number, capabilities: KernelCapabilities, weightGradient = false) {
  const graph = new Graph();
  const leaf = (name: string, shape: number[]) => graph.leaf(name, { shape, dtype: 'f32' }, 'workspace');
  if (weightGradient) matmul(graph, leaf('a', [k, m]), leaf('b', [k, n]), { transposeA: true });
  else linear(graph, leaf('a', [m, k]), leaf('b', [n, k]));
  const [node] = graph.nodes;
  return node!.op.kernels(node!, capabilities);
}

describe('the count of dispatches', () => {
  const count = (dispatches: number, workgroups: number, pieces = 1000) => {
    return dispatchesFor({ flops: dispatches * DISPATCH_FLOPS, workgroups, pieces }, DISPATCH_FLOPS);
  };

  it('follows the work, as long as each fills a card', () => {
    expect(count(1e-9, 1)).toBe(1);
    expect(count(1, 10_000)).toBe(1);
    expect(count(1.9, 10_000)).toBe(2);
    expect(count(2.5, 10_000)).toBe(3);
    expect(count(2.5, 2 * ENOUGH_WORKGROUPS)).toBe(2);
    expect(count(1.9, 10)).toBe(1);
  });

  it('grows even with few workgroups where one would hold a card for long', () => {
    expect(count(100, 10)).toBe(50);
  });

  it('leaves pieces whole', () => {
    expect(count(9.6, 10_000, 64)).toBe(11); // 10 would be of 7 pieces and more than allowed
    expect(count(100, 10_000, 7)).toBe(7);
  });
});

describe('what a dispatch computes at most', () => {
  it('is what the device does in 100 ms at its rate, neither more than at 1 TFLOP/s nor too little to be worth it', () => {
    expect(dispatchFlops()).toBe(1e11);
    expect(dispatchFlops(3e13)).toBe(1e11);
    expect(dispatchFlops(3e11)).toBeCloseTo(3e10);
    expect(dispatchFlops(1e8)).toBe(QUICK_FLOPS);
  });
});

describe('products', () => {
  it.each([
    ['the MLP of a 1B model, 4 × 2048 tokens', 8192, 8192, 2048, false],
    ['the MLP of an 8B model, 4 × 2048 tokens', 8192, 14_336, 4096, false],
    ['its weight gradient', 14_336, 4096, 8192, true],
    ['the logits of a tile', 2048, 16_384, 2048, false],
  ] as const)('of %s take dispatches of at most 100 ms at 1 TFLOP/s', (_, m, n, k, weightGradient) => {
    for (const capabilities of [PLAIN, SOFTWARE]) {
      const kernels = kernelsOf(m, n, k, capabilities, weightGradient);
      expect(Math.max(...kernels.map(({ flops }) => flops))).toBeLessThanOrEqual(1e11);
      expect(kernels.reduce((sum, { flops }) => sum + flops, 0)).toBe(2 * m * n * k);
      expect(kernels).toHaveLength(kernelsOf(m, n, k, PLAIN, weightGradient).length);
    }
    for (const { workgroups } of kernelsOf(m, n, k, PLAIN, weightGradient)) {
      expect(workgroups[0] * workgroups[1]).toBeGreaterThanOrEqual(ENOUGH_WORKGROUPS);
    }
  });

  it('that are quick take one', () => {
    expect(kernelsOf(2048, 2048, 2048, PLAIN)).toHaveLength(1);
    expect(kernelsOf(1, 128_256, 4096, PLAIN)).toHaveLength(1);
  });
});

describe('the workgroups of a run', () => {
  const rows = { first: 64, count: 128 };

  it('are all of them where the kernel counts no rows', () => {
    expect(workgroupsFor({ workgroups: [5, 3, 1] }, 0)).toEqual([5, 3, 1]);
  });

  it('are none past the last row, and all where every row is there', () => {
    expect(workgroupsFor({ rows: { ...rows, axis: 1 }, workgroups: [5, 4, 1] }, 64)).toBeUndefined();
    expect(workgroupsFor({ rows: { ...rows, axis: 1 }, workgroups: [5, 4, 1] }, 1000)).toEqual([5, 4, 1]);
  });

  it('are those of the rows that are there, along the axis of rows', () => {
    expect(workgroupsFor({ rows: { ...rows, axis: 1 }, workgroups: [5, 4, 1] }, 64 + 33)).toEqual([5, 2, 1]);
    expect(workgroupsFor({ rows: { ...rows, axis: 0 }, workgroups: [256, 1, 1] }, 64 + 1)).toEqual([2, 1, 1]);
    expect(workgroupsFor({ rows, workgroups: [5, 4, 1] }, 64 + 1)).toEqual([5, 4, 1]);
    // Sixteen rows of tiles, each of eight rows and in sixteen workgroups: 13 rows lie in the first two.
    const tiles = { rows: { ...rows, axis: 0, tileRows: 8 } as const, workgroups: [256, 1, 1] as const };
    expect(workgroupsFor(tiles, 64 + 13)).toEqual([32, 1, 1]);
  });
});
