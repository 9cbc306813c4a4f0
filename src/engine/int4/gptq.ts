/**
 * GPTQ (Frantar et al. 2022, arXiv:2210.17323), as AutoGPTQ computes it: columns are quantised one after another, and what
 * rounding one has cost the outputs is made good by those that follow. Column by column on the CPU within a panel; what a
 * whole panel changes in all that follow is a product on the device.
 */
import {
  asymmetricGrid,
  emptyInt4,
  gridOf,
  int4Code,
  int4Value,
  symmetricGrid,
  type Int4Matrix,
} from '../../core/int4';
import type { Runtime } from '../runtime/runtime';
import type { GptqOptions, Matrix } from './types';
import { inverseFactor, subtractScaled } from './inverse-factor';
import { PANEL, PanelSum } from './panel-sum';

/** @throws `bad-data` where the inputs give nothing to go by, `out-of-memory` */
export async function quantizeGptq(
  runtime: Runtime,
  { values, outFeatures, inFeatures }: Matrix,
  { gram, groupSize, symmetric, actOrder, dampPercent }: GptqOptions,
): Promise<Int4Matrix> {
  const { hessian, dead } = hessianOf(gram, inFeatures);
  const order = columnOrder(hessian, inFeatures, actOrder);
  const damp = dampPercent * meanDiagonal(hessian, inFeatures);
  const factor = await inverseFactor(runtime, reordered(hessian, order, damp), inFeatures);
  const columns = new Float32Array(values.length);
  order.forEach((column, place) => {
    if (dead[column]) return;
    for (let row = 0; row < outFeatures; row++) columns[place * outFeatures + row] = values[row * inFeatures + column]!;
  });
  const ordered = await quantizeColumns(runtime, columns, factor, inFeatures, groupSize, symmetric);
  if (!actOrder) return ordered;
  const codes = new Uint8Array(ordered.codes.length);
  const groupOf = new Uint32Array(inFeatures);
  order.forEach((column, place) => {
    codes.set(ordered.codes.subarray(place * outFeatures, (place + 1) * outFeatures), column * outFeatures);
    groupOf[column] = ordered.groupOf[place]!;
  });
  return { ...ordered, codes, groupOf };
}

/** Columns in their order, [in, out]; they are changed. A group's grid is found before its own panel's errors reach it. */
async function quantizeColumns(
  runtime: Runtime,
  columns: Float32Array,
  factor: Float32Array,
  inFeatures: number,
  groupSize: number,
  symmetric: boolean,
): Promise<Int4Matrix> {
  const outFeatures = columns.length / inFeatures;
  const matrix = emptyInt4(outFeatures, inFeatures, groupSize);
  const chooseGrid = symmetric ? symmetricGrid : asymmetricGrid;
  const updated = inFeatures > PANEL ? await PanelSum.create(runtime, inFeatures, outFeatures, -1, columns) : undefined;
  const readColumns = (first: number, count: number) =>
    updated
      ? updated.readRows(first, count)
      : Promise.resolve(columns.slice(first * outFeatures, (first + count) * outFeatures));
  const findGrids = (group: Float32Array, index: number) => {
    const own = new Float32Array(group.length / outFeatures);
    for (let row = 0; row < outFeatures; row++) {
      for (let i = 0; i < own.length; i++) own[i] = group[i * outFeatures + row]!;
      const { scale, zero } = gridOf(own, chooseGrid);
      matrix.scales[index * outFeatures + row] = scale;
      matrix.zeros[index * outFeatures + row] = zero;
    }
  };
  try {
    for (let first = 0; first < inFeatures; first += PANEL) {
      const count = Math.min(PANEL, inFeatures - first);
      const before = await readColumns(first, count);
      const panel = before.slice();
      const errors = new Float32Array(panel.length);
      for (let i = 0; i < count; i++) {
        const column = first + i;
        if (column % groupSize === 0) {
          const size = Math.min(groupSize, inFeatures - column);
          const isWithin = column + size <= first + count;
          const [from, to] = [i * outFeatures, (i + size) * outFeatures];
          findGrids(isWithin ? before.subarray(from, to) : await readColumns(column, size), matrix.groupOf[column]!);
        }
        const error = errors.subarray(i * outFeatures, (i + 1) * outFeatures);
        quantizeColumn(panel.subarray(i * outFeatures, (i + 1) * outFeatures), matrix, column, error);
        const diagonal = factor[column * inFeatures + column]!;
        for (let row = 0; row < outFeatures; row++) error[row]! /= diagonal;
        for (let j = i + 1; j < count; j++) {
          const part = factor[column * inFeatures + first + j]!;
          subtractScaled(panel.subarray(j * outFeatures, (j + 1) * outFeatures), error, part, 0, outFeatures);
        }
      }
      if (first + count < inFeatures) await updated!.add(rowsAfter(factor, first, count, inFeatures), errors);
    }
  } finally {
    updated?.dispose();
  }
  return matrix;
}

/** Writes the codes of a column, and what each value is more than its code stands for. */
function quantizeColumn(values: Float32Array, matrix: Int4Matrix, column: number, error: Float32Array): void {
  const { outFeatures, codes, scales, zeros, groupOf } = matrix;
  const group = groupOf[column]! * outFeatures;
  for (let row = 0; row < outFeatures; row++) {
    const grid = { scale: scales[group + row]!, zero: zeros[group + row]! };
    const code = int4Code(values[row]!, grid);
    codes[column * outFeatures + row] = code;
    error[row] = values[row]! - int4Value(code, grid);
  }
}

/** Rows of the factor with what lies within their own panel, which has it already, left out. */
function rowsAfter(factor: Float32Array, first: number, count: number, size: number): Float32Array {
  const rows = factor.slice(first * size, (first + count) * size);
  for (let i = 0; i < count; i++) rows.fill(0, i * size, i * size + first + count);
  return rows;
}

/** Inputs that are always 0 tell nothing: their columns count for themselves alone, and become 0. */
function hessianOf(gram: Float32Array, size: number): { hessian: Float32Array; dead: boolean[] } {
  const hessian = gram.slice();
  const dead = Array.from({ length: size }, (_, i) => gram[i * size + i] === 0);
  dead.forEach((isDead, i) => {
    if (isDead) hessian[i * size + i] = 1;
  });
  return { hessian, dead };
}

function meanDiagonal(hessian: Float32Array, size: number): number {
  let sum = 0;
  for (let i = 0; i < size; i++) sum += hessian[i * size + i]!;
  return sum / size;
}

/** The columns in the order in which they are quantised: with `actOrder` those first whose inputs are largest. */
function columnOrder(hessian: Float32Array, size: number, actOrder: boolean): number[] {
  const columns = Array.from({ length: size }, (_, i) => i);
  return actOrder ? columns.sort((a, b) => hessian[b * size + b]! - hessian[a * size + a]!) : columns;
}

function reordered(hessian: Float32Array, order: readonly number[], damp: number): Float32Array {
  const size = order.length;
  const result = new Float32Array(size * size);
  order.forEach((row, i) => {
    order.forEach((column, j) => (result[i * size + j] = hessian[row * size + column]!));
    result[i * size + i]! += damp;
  });
  return result;
}
