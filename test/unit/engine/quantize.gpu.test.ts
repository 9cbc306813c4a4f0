/** Weights quantised on the GPU: bit for bit what bitsandbytes makes of them, and in chunks what they are whole. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fromFloat32, toFloat32, type FloatDType, type QuantizedDType } from '../../../src/core/dtypes';
import { nestScales, quantizedLayout } from '../../../src/core/quantization';
import { Random } from '../../../src/core/rng';
import { Graph } from '../../../src/engine/graph/graph';
import { quantize, QUANTIZE_UNIT } from '../../../src/engine/ops/quantize';
import * as plain from '../../reference/quantization';
import { bitsandbytes } from '../../support/bitsandbytes';
import { openRunner, placeGraph, type Runner } from '../../support/graph-runner';
import { hasReference } from '../../support/reference';
import { testGpu } from '../../support/gpu';

let runner: Runner;
beforeAll(async () => {
  runner = await openRunner((await testGpu()).gpu);
});
afterAll(() => runner.device.destroy());

/** Quantises a tensor in chunks of `chunkUnits` × 64 elements, as loading a model does. */
async function quantized(
  values: Float32Array,
  shape: readonly [number, number],
  dtype: QuantizedDType,
  { chunkUnits = values.length / QUANTIZE_UNIT, source = 'f32' }: { chunkUnits?: number; source?: FloatDType } = {},
): Promise<Uint32Array> {
  const { blocks, scales, words } = quantizedLayout(dtype, shape);
  const graph = new Graph();
  const target = graph.leaf('target', { shape, dtype }, 'weights');
  const maxima = graph.leaf('maxima', { shape: [blocks], dtype: 'f32' }, 'workspace');
  quantize(
    graph,
    graph.leaf('source', { shape: [chunkUnits, QUANTIZE_UNIT], dtype: source }, 'workspace'),
    graph.leaf('chunk', { shape: [2], dtype: 'u32' }, 'workspace'),
    target,
    dtype === 'nf4_nested' ? maxima : undefined,
  );
  const { memory } = await placeGraph(runner, graph, {}, []);
  try {
    const units = values.length / QUANTIZE_UNIT;
    for (let first = 0; first < units; first += chunkUnits) {
      const count = Math.min(chunkUnits, units - first);
      const part = values.subarray(first * QUANTIZE_UNIT, (first + count) * QUANTIZE_UNIT);
      memory.write('source', fromFloat32(part, source));
      memory.write('chunk', Uint32Array.of(first, count));
      await memory.run('main');
    }
    if (dtype === 'nf4_nested') memory.write('target', nestScales(await memory.read('maxima', blocks)), 4 * scales);
    return new Uint32Array((await memory.read('target', words)).slice().buffer);
  } finally {
    memory.destroy();
  }
}

const bytesOf = (words: Uint32Array, start: number, count: number) =>
  new Uint8Array(words.buffer, words.byteOffset + 4 * start, count).slice();

describe.skipIf(!hasReference)("bitsandbytes' NF4 of a real matrix", () => {
  const shape = [172, 64] as const;

  it('without double quantisation: codes and scales', async () => {
    const golden = await bitsandbytes('nf4_l0_gate_dq0');
    const words = await quantized(toFloat32(golden.weight!, 'f32'), shape, 'nf4');
    expect(bytesOf(words, 0, golden.packed!.length)).toEqual(golden.packed);
    expect(bytesOf(words, quantizedLayout('nf4', shape).scales, golden.absmax!.length)).toEqual(golden.absmax);
  });

  it('with double quantisation: codes, 8-bit scales, their scales and their mean', async () => {
    const golden = await bitsandbytes('nf4_l0_gate_dq1');
    const words = await quantized(toFloat32(golden.weight!, 'f32'), shape, 'nf4_nested', { chunkUnits: 50 });
    const layout = quantizedLayout('nf4_nested', shape);
    expect(bytesOf(words, 0, golden.packed!.length)).toEqual(golden.packed);
    expect(bytesOf(words, layout.scales, golden.absmax!.length)).toEqual(golden.absmax);
    expect(bytesOf(words, layout.nestedScales, 4)).toEqual(golden.nested_absmax);
    expect(bytesOf(words, layout.nestedMean, 4)).toEqual(golden.offset);
  });
});

describe.each(['f32', 'f16', 'bf16'] as const)('from %s', (source) => {
  it.each(['nf4', 'nf4_nested', 'q8'] as const)(
    '%s is what the plain loops make, whole and in chunks',
    async (dtype) => {
      const shape = [60, 112] as const;
      const random = new Random(5, 0);
      const drawn = Float32Array.from({ length: shape[0] * shape[1] }, (_, i) => (i < 64 ? 0 : random.normal()));
      const values = toFloat32(fromFloat32(drawn, source), source);
      const expected = plain.quantize(values, dtype, shape);
      expect(await quantized(values, shape, dtype, { source })).toEqual(expected);
      expect(await quantized(values, shape, dtype, { source, chunkUnits: 32 })).toEqual(expected);
    },
  );
});

/** What a weight that isn't finite makes of its block must be seen by whoever reads it, and of no other block. */
describe.each([NaN, Infinity, -Infinity])('a weight of %d', (odd) => {
  it.each([0, 3, 63])('at place %i leaves no scale that is finite', async (place) => {
    const shape = [4, 64] as const;
    const values = Float32Array.from({ length: 256 }, (_, i) => (i === 64 + place ? odd : (i % 7) - 3));
    const nf4 = await quantized(values, shape, 'nf4');
    const scales = new Float32Array(nf4.buffer, 4 * quantizedLayout('nf4', shape).scales, 4);
    expect(Array.from(scales, Number.isFinite)).toEqual([true, false, true, true]);
    const q8 = await quantized(values, shape, 'q8');
    const halves = toFloat32(bytesOf(q8, quantizedLayout('q8', shape).scales, 16), 'f16');
    expect(Array.from(halves, Number.isFinite)).toEqual(
      Array.from({ length: 8 }, (_, block) => block !== 2 + Math.floor(place / 32)),
    );
  });
});
