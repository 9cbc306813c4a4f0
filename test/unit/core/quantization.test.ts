import { describe, expect, it } from 'vitest';
import { toFloat32 } from '../../../src/core/dtypes';
import { dynamicMap } from '../../../src/core/dynamic-map';
import {
  canQuantize,
  dequantized,
  nestScales,
  NF4_CODE,
  quantizedLayout,
  type QuantizedLayout,
} from '../../../src/core/quantization';
import { bitsandbytes } from '../../support/bitsandbytes';
import { hasReference } from '../../support/reference';

describe('the dynamic map', () => {
  it.each([true, false])('has 256 values in order, signed %s', (signed) => {
    const map = dynamicMap(signed);
    expect(map).toHaveLength(256);
    expect(new Set(map).size).toBe(256);
    expect([...map]).toEqual([...map].sort((a, b) => a - b));
    expect(map[0]).toBeCloseTo(signed ? 0.9 / 128 - 1 : 0, 6); // The last of 64 intervals of 0.1 … 1 has no 1 on this side.
    expect(map[255]).toBe(1);
  });

  it.runIf(hasReference)("is bitsandbytes' own, bit for bit", async () => {
    const { nested_code: code } = await bitsandbytes('nf4_l0_gate_dq1');
    expect(dynamicMap(true)).toEqual(toFloat32(code!, 'f32'));
  });
});

describe.skipIf(!hasReference)('NF4 of a real matrix', () => {
  it('has the code of bitsandbytes', async () => {
    const { code } = await bitsandbytes('nf4_l0_gate_dq0');
    expect(Float32Array.from(NF4_CODE)).toEqual(toFloat32(code!, 'f32'));
  });

  it('nests scales as bitsandbytes does, bit for bit', async () => {
    const maxima = toFloat32((await bitsandbytes('nf4_l0_gate_dq0')).absmax!, 'f32');
    const golden = await bitsandbytes('nf4_l0_gate_dq1');
    const words = nestScales(maxima);
    const floats = new Float32Array(words.buffer);
    expect(new Uint8Array(words.buffer).slice(0, maxima.length)).toEqual(golden.absmax);
    const layout: QuantizedLayout = quantizedLayout('nf4_nested', [172, 64]);
    const nested = layout.nestedScales - layout.scales;
    expect(floats.slice(nested, nested + 1)).toEqual(toFloat32(golden.nested_absmax!, 'f32'));
    expect(floats.slice(nested + 1, nested + 2)).toEqual(toFloat32(golden.offset!, 'f32'));
    expect(floats.slice(nested + 2)).toEqual(toFloat32(golden.nested_code!, 'f32'));
    expect(layout.scales + words.length).toBe(layout.words);
  });

  it.each(['nf4', 'nf4_nested'] as const)('expands %s to the same values', async (dtype) => {
    const shape = [172, 64];
    const plain = await bitsandbytes('nf4_l0_gate_dq0');
    const nested = await bitsandbytes('nf4_l0_gate_dq1');
    const maxima = toFloat32(plain.absmax!, 'f32');
    const { scales, words: count } = quantizedLayout(dtype, shape);
    const words = new Uint32Array(count);
    new Uint8Array(words.buffer).set(plain.packed!);
    words.set(dtype === 'nf4' ? new Uint32Array(maxima.slice().buffer) : nestScales(maxima), scales);
    const golden = dtype === 'nf4' ? plain : nested;
    expect(dequantized(words, dtype, shape)).toEqual(toFloat32(golden.dequant!, 'f32'));
  });
});

it('quantises matrices of whole blocks, in rows of whole vectors', () => {
  expect(
    [
      [172, 64],
      [2048, 8192],
      [32, 20],
    ].map(canQuantize),
  ).toEqual([true, true, true]);
  expect([[2048], [173, 64], [64, 6], [4, 4]].map(canQuantize)).toEqual([false, false, false, false]);
});
