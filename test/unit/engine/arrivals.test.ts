import { describe, expect, it } from 'vitest';
import type { WeightSlice } from '../../../src/core/weights';
import { rowsByPart } from '../../../src/engine/compile/parts';
import { Arrivals } from '../../../src/engine/runtime/upload';
import { expectError } from '../recipes/support';

const EXPECTED = [
  { name: 'table', shape: [200, 2] },
  { name: 'norm', shape: [3] },
];

/** Rows `from` to `to` of the table. */
function rows(from: number, to: number, name = 'table'): WeightSlice {
  const bytes = Uint8Array.from({ length: 8 * (to - from) }, (_, i) => (8 * from + i) % 251);
  return { name, dtype: 'f32', shape: [200, 2], firstRow: from, bytes };
}
const norm: WeightSlice = { name: 'norm', dtype: 'bf16', shape: [3], bytes: new Uint8Array(6) };

describe('the parameters that a session waits for', () => {
  it('may come in slices, and are complete with their last', () => {
    const arrivals = new Arrivals(EXPECTED);
    expect(arrivals.add(norm)).toBe(true);
    expect([arrivals.add(rows(0, 64)), arrivals.add(rows(64, 192)), arrivals.add(rows(192, 200))]).toEqual([
      false,
      false,
      true,
    ]);
    expect(arrivals.awaits('table')).toBe(false);
    arrivals.end();
  });

  it.each<[string, WeightSlice[], RegExp]>([
    ['begins in its middle', [rows(64, 128)], /Rows of the tensor table are missing or come out of order/],
    ['leaves rows out', [rows(0, 64), rows(128, 200)], /Rows of the tensor table/],
    ['repeats rows', [rows(0, 64), rows(0, 64)], /Rows of the tensor table/],
    ['goes past its end', [rows(0, 64), rows(64, 201)], /Rows of the tensor table/],
    ['is broken off by another tensor', [rows(0, 64), norm], /Rows of the tensor norm/],
    ['ends within a row', [{ ...rows(0, 64), bytes: new Uint8Array(12) }], /Rows of the tensor table/],
    ['comes twice', [norm, norm], /norm does not belong to this model, or comes twice/],
    ['is of another model', [rows(0, 200, 'other')], /other does not belong/],
    ['has another shape', [{ ...norm, shape: [1, 3] }], /norm has shape \[1, 3\], and the model needs \[3\]/],
  ])('are refused where one %s', async (_, slices, message) => {
    const arrivals = new Arrivals(EXPECTED);
    await expectError(() => slices.forEach((slice) => arrivals.add(slice)), 'bad-file', message);
  });

  it('are refused where one is missing or came in part', async () => {
    const arrivals = new Arrivals(EXPECTED);
    arrivals.add(norm);
    arrivals.add(rows(0, 64));
    await expectError(() => arrivals.end(), 'bad-file', /1 tensors are missing, the first is table/);
  });
});

describe('rows of a slice', () => {
  it('go to the parts that they lie in', () => {
    const parts = [
      { name: 'table#0', shape: [64, 2] },
      { name: 'table#1', shape: [64, 2] },
      { name: 'table#2', shape: [72, 2] },
    ];
    const found = rowsByPart(rows(32, 192), parts);
    expect(found.map(({ part, firstRow, bytes }) => [part.name, firstRow, bytes.byteLength])).toEqual([
      ['table#0', 32, 256],
      ['table#1', 0, 512],
      ['table#2', 0, 512],
    ]);
    expect(Buffer.concat(found.map(({ bytes }) => bytes))).toEqual(Buffer.from(rows(32, 192).bytes));
    expect(rowsByPart(rows(128, 200), parts)).toMatchObject([{ firstRow: 0 }]);
  });
});
