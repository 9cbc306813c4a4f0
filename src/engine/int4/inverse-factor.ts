/**
 * U, upper triangular, with UᵀU = H⁻¹: what GPTQ distributes errors by. H is never inverted. With J turning rows and
 * columns round, J H J = L Lᵀ, and then U = J L⁻¹ J; L and its inverse are found panel by panel, and what later panels get
 * from one is a product on the device.
 */
import { GraftError } from '../../core/errors';
import type { Runtime } from '../runtime/runtime';
import { PANEL, PanelSum } from './panel-sum';

/** @throws `bad-data` where H [size, size], symmetric, is not positive definite */
export async function inverseFactor(runtime: Runtime, hessian: Float32Array, size: number): Promise<Float32Array> {
  const turned = hessian.slice().reverse();
  const inverse = new Float32Array(size * size);
  const isOnePanel = size <= PANEL;
  const rest = isOnePanel ? undefined : await PanelSum.create(runtime, size, size, -1, turned);
  const sums = isOnePanel ? undefined : await PanelSum.create(runtime, size, size, 1);
  try {
    for (let first = 0; first < size; first += PANEL) {
      const count = Math.min(PANEL, size - first);
      const rows = first === 0 ? turned.subarray(0, count * size) : await rest!.readRows(first, count);
      const known = first === 0 ? new Float32Array(count * size) : await sums!.readRows(first, count);
      factorPanel(rows, first, count, size);
      invertPanel(rows, known, first, count, size);
      inverse.set(known, first * size);
      if (first + count >= size) break;
      await rest!.add(rows, rows);
      await sums!.add(rows, known);
    }
  } finally {
    rest?.dispose();
    sums?.dispose();
  }
  return inverse.reverse();
}

/** Rows of a symmetric matrix become those of Lᵀ, from what all panels before them have left of it. */
function factorPanel(rows: Float32Array, first: number, count: number, size: number): void {
  for (let i = 0; i < count; i++) {
    const row = rows.subarray(i * size, (i + 1) * size);
    const squared = row[first + i]!;
    if (!(squared > 0)) {
      throw new GraftError(
        'bad-data',
        'What the linears of a layer are given on these rows is no base to quantise by: its products are not finite, or ' +
          'cancel out. Calibrate with other rows, or more of them.',
      );
    }
    const diagonal = Math.sqrt(squared);
    row.fill(0, 0, first + i);
    for (let j = first + i; j < size; j++) row[j]! /= diagonal;
    for (let k = i + 1; k < count; k++) {
      const factor = row[first + k]!;
      if (factor !== 0) subtractScaled(rows.subarray(k * size, (k + 1) * size), row, factor, first + k, size);
    }
  }
}

/** `known`, what earlier rows of L and L⁻¹ give, becomes the rows of L⁻¹ that belong to these of Lᵀ. */
function invertPanel(rows: Float32Array, known: Float32Array, first: number, count: number, size: number): void {
  for (let i = 0; i < count; i++) {
    const inverse = known.subarray(i * size, (i + 1) * size);
    const diagonal = rows[i * size + first + i]!;
    const end = first + i + 1;
    for (let j = 0; j < end; j++) inverse[j] = ((j === first + i ? 1 : 0) - inverse[j]!) / diagonal;
    inverse.fill(0, end);
    for (let k = i + 1; k < count; k++) {
      const factor = rows[i * size + first + k]!;
      if (factor !== 0) subtractScaled(known.subarray(k * size, (k + 1) * size), inverse, -factor, 0, end);
    }
  }
}

/** target −= factor · source, from one element to another. */
export function subtractScaled(
  target: Float32Array,
  source: Float32Array,
  factor: number,
  from: number,
  to: number,
): void {
  for (let j = from; j < to; j++) target[j]! -= factor * source[j]!;
}
