import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { epochRows } from '../../../src/data/batches';
import { packRows } from '../../../src/data/packing';

const document = (length: number, row = 0) => ({
  row,
  inputIds: new Array<number>(length).fill(1),
  labels: new Array<number>(length).fill(1),
});
const lengths = (rows: readonly (readonly { inputIds: readonly number[] }[])[]) =>
  rows.map((row) => row.map(({ inputIds }) => inputIds.length));
const tokens = (row: readonly number[]) => row.reduce((sum, length) => sum + length, 0);

/** Best-fit decreasing, written down as it is defined: how full the rows end up. */
function bestFitDecreasing(sizes: readonly number[], capacity: number): number[] {
  const filled: number[] = [];
  for (const size of [...sizes].sort((a, b) => b - a)) {
    const fitting = filled.filter((tokens) => tokens + size <= capacity);
    if (fitting.length === 0) filled.push(size);
    else filled[filled.indexOf(Math.max(...fitting))]! += size;
  }
  return filled.sort((a, b) => a - b);
}

const sizes = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 80 });

describe('packRows', () => {
  it('puts the longest first, each where it fits best, and keeps the order given', () => {
    expect(
      lengths(
        packRows(
          [2, 7, 3, 5, 8, 5].map((n) => document(n)),
          10,
        ),
      ),
    ).toEqual([
      [2, 8],
      [7, 3],
      [5, 5],
    ]);
  });

  it('splits nothing, loses nothing and fills rows as best-fit decreasing does', () => {
    fc.assert(
      fc.property(sizes, (all) => {
        const documents = all.map((n, row) => document(n, row));
        const rows = packRows(documents, 20);
        expect(rows.flat().toSorted((a, b) => a.row - b.row)).toEqual(documents);
        expect(
          lengths(rows)
            .map(tokens)
            .sort((a, b) => a - b),
        ).toEqual(bestFitDecreasing(all, 20));
        for (const row of rows) expect(row).toEqual(row.toSorted((a, b) => a.row - b.row));
        const first = rows.map((row) => row[0]!.row);
        expect(first).toEqual(first.toSorted((a, b) => a - b));
      }),
    );
  });
});

describe('epochRows', () => {
  const documents = Array.from({ length: 40 }, (_, row) => document(1 + (row % 7), row));
  const options = { batchSize: 2, gradientAccumulationSteps: 1, shuffle: true, seed: 42, packTo: 16 };

  it('mixes other documents in each epoch, in as many rows, by seed and epoch alone', () => {
    const epochs = [0, 1, 2].map((epoch) => epochRows(documents, epoch, options));
    expect(epochRows(documents, 1, options)).toEqual(epochs[1]);
    expect(epochs[0]).not.toEqual(epochs[1]);
    for (const rows of epochs) {
      expect(rows).toHaveLength(epochs[0]!.length);
      expect(lengths(rows).map(tokens).sort()).toEqual(lengths(epochs[0]!).map(tokens).sort());
    }
    expect(epochRows(documents, 0, { ...options, shuffle: false })).toEqual(packRows(documents, 16));
  });

  it('leaves each document its own row where nothing is packed', () => {
    expect(epochRows(documents, 3, { ...options, packTo: undefined })).toEqual(documents.map((one) => [one]));
  });
});
