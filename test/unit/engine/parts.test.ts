/** Tables in parts: how they are cut, and that files never see it. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DType } from '../../../src/core/dtypes';
import { BINDING_BYTES, byWhole, joinParts, partsOf, splitParts, wholeShape } from '../../../src/engine/compile/parts';
import { byteSize } from '../../../src/engine/graph/tensor';

const table = fc.record({
  rows: fc.integer({ min: 1, max: 5000 }),
  columns: fc.integer({ min: 1, max: 40 }),
  bytes: fc.integer({ min: 20_000, max: 100_000 }),
  dtype: fc.constantFrom<DType>('f32', 'bf16', 'q8'),
});

describe('parts of a table', () => {
  it('are all its rows in order, within the limit, and start where blocks and bindings may', () => {
    fc.assert(
      fc.property(table, ({ rows, columns, bytes, dtype }) => {
        const shape = [rows, columns];
        const parts = partsOf({ name: 't', shape }, dtype, bytes);
        expect(wholeShape(parts)).toEqual(shape);
        for (const part of parts) expect(byteSize({ shape: part.shape, dtype })).toBeLessThanOrEqual(bytes);
        for (const part of parts.slice(0, -1)) expect(part.shape[0]! % 64).toBe(0);
        expect(parts.length === 1).toBe(byteSize({ shape, dtype }) <= bytes);
        expect([...byWhole(parts)]).toEqual([['t', parts]]);
      }),
    );
  });

  it('take the bytes of the whole', () => {
    for (const dtype of ['f32', 'bf16', 'q8'] as const) {
      const shape = [128_256, 2048];
      const parts = partsOf({ name: 't', shape }, dtype);
      expect(parts.length).toBe({ f32: 8, bf16: 4, q8: 3 }[dtype]);
      const sizes = parts.map((part) => byteSize({ shape: part.shape, dtype }));
      expect(Math.max(...sizes)).toBeLessThanOrEqual(BINDING_BYTES);
      expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(byteSize({ shape, dtype }));
    }
  });

  it('are cut out of a tensor and put together again, with what else there is', () => {
    const shape = [300, 3];
    const tensor = (name: string, elementBytes: number) => ({
      name,
      shape,
      bytes: Uint8Array.from({ length: 900 * elementBytes }, (_, i) => i % 251),
    });
    const moments = partsOf({ name: 't', shape }, 'f32', 1000).map((part) => ({
      ...part,
      name: `${part.name}.exp_avg`,
    }));
    expect(moments.map(({ name }) => name)).toEqual([
      't#0.exp_avg',
      't#1.exp_avg',
      't#2.exp_avg',
      't#3.exp_avg',
      't#4.exp_avg',
    ]);
    const whole = [tensor('a', 4), tensor('t.exp_avg', 2)];
    const cut = whole.flatMap((one) => splitParts(one, one.name === 'a' ? [one] : moments));
    expect(cut).toHaveLength(1 + moments.length);
    expect(joinParts(cut)).toEqual(whole);
  });
});
