/** 4-bit layouts against the files of AutoGPTQ and AutoAWQ in the reference's golden/quantizers, bit for bit. */
import { describe, expect, it } from 'vitest';
import { dequantizeInt4, roundToNearest, asymmetricGrid, awqGrid, symmetricGrid } from '../../../src/core/int4';
import { packInt4, unpackInt4, wordsOf, type Int4Layout } from '../../../src/formats/int4/layouts';
import { fromFloat32, toFloat32 } from '../../../src/core/dtypes';
import { int4Goldens } from '../../support/int4-goldens';
import { hasReference } from '../../support/reference';

const words = (bytes: Uint8Array) => [...wordsOf(bytes)];

const ROUNDED: readonly (readonly [file: 'gptq' | 'awq', name: string, group: number, grid: typeof awqGrid])[] = [
  ['gptq', 'real_g32_sym_rtn', 32, symmetricGrid],
  ['gptq', 'real_g32_asym_rtn', 32, asymmetricGrid],
  ['gptq', 'random_g128_sym_rtn', 128, symmetricGrid],
  ['awq', 'real_g32_rtn', 32, awqGrid],
  ['awq', 'random_g128_rtn', 128, awqGrid],
];

describe.skipIf(!hasReference)('rounding to nearest', () => {
  it.each(ROUNDED)('%s %s gives the bits of the reference', async (file, name, group, grid) => {
    const { values, inFeatures } = await int4Goldens.weight(name);
    const golden = await int4Goldens.packed(file, name);
    const packed = packInt4(file, roundToNearest(values, inFeatures, group, grid));
    expect(words(packed.qweight)).toEqual(words(golden.get('qweight')!));
    expect(words(packed.qzeros)).toEqual(words(golden.get('qzeros')!));
    expect(Buffer.from(packed.scales).equals(golden.get('scales')!)).toBe(true);
    if (file === 'gptq') expect(words(packed.g_idx)).toEqual(words(golden.get('g_idx')!));
  });

  it('stores zero points as they are in the second version', async () => {
    const { values, inFeatures } = await int4Goldens.weight('real_g32_asym_rtn');
    const golden = await int4Goldens.packed('gptq', 'real_g32_asym_rtn');
    const packed = packInt4('gptq_v2', roundToNearest(values, inFeatures, 32, asymmetricGrid));
    expect(words(packed.qzeros)).toEqual(words(golden.get('qzeros_v2')!));
  });
});

const CASES = [
  ...[
    'real_g32_sym_rtn',
    'real_g32_asym_rtn',
    'real_g32_sym_gptq',
    'real_g32_asym_actorder_gptq',
    'real_g-1_asym_gptq',
  ],
  ...['random_g128_sym_rtn', 'random_g128_asym_gptq', 'random_g128_sym_actorder_gptq'],
].map((name) => ['gptq', name] as const);
const AWQ_CASES = ['real_g32_rtn', 'random_g128_rtn', 'real_g32_search', 'random_g128_search'];

describe.skipIf(!hasReference)('a file of the reference', () => {
  it.each([...CASES, ...AWQ_CASES.map((name) => ['awq', name] as const)])(
    '%s %s is read to its values, and packed to its bits again',
    async (file, name) => {
      const golden = await int4Goldens.packed(file, name);
      const { inFeatures, outFeatures } = await int4Goldens.weight(name);
      const parts = { qweight: golden.get('qweight')!, qzeros: golden.get('qzeros')!, scales: golden.get('scales')! };
      const groups = parts.scales.byteLength / 2 / outFeatures;
      const groupOf =
        file === 'gptq'
          ? Uint32Array.from(wordsOf(golden.get('g_idx')!))
          : Uint32Array.from({ length: inFeatures }, (_, i) => Math.floor((i * groups) / inFeatures));
      const matrix = unpackInt4(file, outFeatures, inFeatures, parts, groupOf);
      const packed = packInt4(file, matrix);
      for (const part of ['qweight', 'qzeros', 'scales'] as const) {
        expect(Buffer.from(packed[part]).equals(parts[part]), part).toBe(true);
      }
      const values = dequantizeInt4(matrix);
      const whole = golden.get('dequantized');
      const expected = toFloat32(whole ?? golden.get('dequantized_rows_0_8')!, 'f32');
      // AWQ's reference gives them by input.
      const width = file === 'gptq' ? inFeatures : outFeatures;
      const at = (i: number) =>
        file === 'gptq' ? values[i]! : values[(i % width) * inFeatures + Math.floor(i / width)]!;
      expect(expected.length).toBe(whole ? values.length : 8 * width);
      expect(expected.findIndex((value, i) => value !== at(i))).toBe(-1);
    },
  );
});

describe('groups at the edge', () => {
  const rounded = (values: number[], layout: Int4Layout) => {
    const grid = layout === 'awq' ? awqGrid : asymmetricGrid;
    const rows = Float32Array.from({ length: 8 * values.length }, (_, i) => values[i % values.length]!);
    const matrix = roundToNearest(rows, values.length, values.length, grid);
    const packed = packInt4(layout, matrix);
    const read = unpackInt4(layout, 8, values.length, packed, matrix.groupOf);
    return [...dequantizeInt4(read).subarray(0, values.length)];
  };

  it.each(['gptq', 'gptq_v2', 'awq'] as const)('zeros stay zeros in %s', (layout) => {
    expect(rounded(new Array<number>(8).fill(0), layout)).toEqual(new Array<number>(8).fill(0));
  });

  it.each(['gptq', 'gptq_v2'] as const)('values that are all positive keep their sign in %s', (layout) => {
    const values = [1, 2, 3, 4, 5, 6, 7, 8];
    const read = rounded(values, layout);
    values.forEach((value, i) => expect(Math.abs(read[i]! - value)).toBeLessThan(8 / 14 / 2 + 0.01));
  });

  it('symmetric groups without negative values are not cut in half', () => {
    const matrix = roundToNearest(
      Float32Array.from({ length: 64 }, (_, i) => (i % 8) + 1),
      8,
      8,
      symmetricGrid,
    );
    const scales = toFloat32(fromFloat32(matrix.scales, 'f16'), 'f16');
    expect(dequantizeInt4(matrix, scales)[7]!).toBeGreaterThan(7);
  });
});
