import { describe, expect, it } from 'vitest';
import { backward } from '../../../src/engine/graph/autodiff';
import { Graph } from '../../../src/engine/graph/graph';
import { PLAIN, type Kernel, type KernelCapabilities } from '../../../src/engine/graph/kernel';
import { attention } from '../../../src/engine/ops/attention';

const SOFTWARE: KernelCapabilities = { subgroups: true, f16: true, software: true };

/** Kernels of attention forward and back over one sequence, as Llama-3-8B has it. */
function kernels(length: number, capabilities: KernelCapabilities, window?: number): Kernel[] {
  const sizes = { batch: 1, length, keys: length, heads: 32, kvHeads: 8, headDim: 128, window };
  const graph = new Graph();
  const leaf = (name: string, heads: number) =>
    graph.leaf(name, { shape: [length, heads * sizes.headDim], dtype: 'f32' }, 'adapter', true);
  const [q, k, v] = [leaf('q', 32), leaf('k', 8), leaf('v', 8)];
  const start = graph.leaf('start', { shape: [1], dtype: 'u32' }, 'workspace');
  const y = attention(graph, q, k, v, { start }, sizes);
  backward(graph, new Map([[y, leaf('dy', 32)]])).forEach((gradient) => graph.keep(gradient));
  return graph.liveNodes().flatMap((node) => node.op.kernels(node, capabilities));
}

/** Least workgroups of a dispatch that keep a card busy. */
const FILLING = 96;

const tilesOf = (parts: readonly Kernel[]) => parts.reduce((sum, { workgroups }) => sum + workgroups[0], 0);

describe('attention over long sequences', () => {
  it('takes many dispatches, none of which holds the GPU for long', () => {
    const all = kernels(22_000, PLAIN);
    expect(Math.max(...all.map(({ flops }) => flops))).toBeLessThanOrEqual(1e11);
    for (const name of ['attention/forward', 'attention/dq', 'attention/dkv']) {
      expect(tilesOf(all.filter(({ shader }) => shader.name === name)), name).toBe(Math.ceil(22_000 / 32));
    }
    const idle = all.filter(({ workgroups: [x, y, z], flops }) => (x + 1) * y * z < FILLING && flops < 5e10);
    expect(idle).toEqual([]);
  });

  it('takes dispatches of at most 100 ms at 1 TFLOP/s at ordinary lengths', () => {
    const flops = [2048, 4096, 8192].flatMap((length) => kernels(length, PLAIN).map((kernel) => kernel.flops));
    expect(Math.max(...flops)).toBeLessThanOrEqual(1e11);
  });

  it('takes as many whatever the adapter can do, so that the plan is the same', () => {
    for (const length of [1, 3, 5, 64, 65, 1000, 4096]) {
      expect(kernels(length, SOFTWARE), `length ${length}`).toHaveLength(kernels(length, PLAIN).length);
    }
  });

  it('takes one dispatch each where that is quick', () => {
    expect(kernels(512, PLAIN)).toHaveLength(4);
  });

  it('counts what a window holds, not what is before it', () => {
    const flops = (length: number, window?: number) =>
      kernels(length, PLAIN, window).reduce((sum, kernel) => sum + kernel.flops, 0);
    expect(flops(8192, 512) / flops(4096, 512)).toBeCloseTo(2, 0);
    expect(flops(8192, 512)).toBeLessThan(flops(8192) / 7);
    expect(flops(100, 100)).toBe(flops(100));
    expect(flops(100, 4096)).toBe(flops(100));
  });

  it.each([0, -1, 2.5, NaN])('refuses a window of %d tokens', (window) => {
    expect(() => kernels(8, PLAIN, window)).toThrow('window');
  });
});
