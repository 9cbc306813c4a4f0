/**
 * AWQ (Lin et al. 2023, arXiv:2306.00978), as AutoAWQ computes it: input channels that matter are scaled up before they are
 * rounded, and what they get is scaled down; then the range of each group is clipped where that costs the outputs less.
 */
import { awqGrid, dequantizeInt4, gridOf, int4Code, int4Value, roundToNearest } from '../../core/int4';
import type { Matrix, ScaleSearch } from './types';

const RATIOS = 20;

/** Shares of the largest value that groups are clipped to: 1, 0.95 … 0.55. */
const CLIPS = 10;

/** The mean over all rows of |w|, as a part of the largest of its group, by input channel. */
function meanWeight(matrices: readonly Matrix[], groupSize: number): Float32Array {
  const { inFeatures } = matrices[0]!;
  const sums = new Float64Array(inFeatures);
  for (const { values } of matrices) {
    for (let from = 0; from < values.length; from += groupSize) {
      const group = values.subarray(from, from + groupSize);
      const largest = group.reduce((most, value) => Math.max(most, Math.abs(value)), 0) + 1e-6;
      group.forEach((value, i) => (sums[(from % inFeatures) + i]! += Math.abs(value) / largest));
    }
  }
  const rows = matrices.reduce((sum, { outFeatures }) => sum + outFeatures, 0);
  return Float32Array.from(sums, (sum) => sum / rows);
}

/** The scales of one ratio, by input channel. */
function scalesAt(ratio: number, meanInput: Float32Array, meanOfWeights: Float32Array): Float32Array {
  const raw = meanInput.map((x, i) => Math.max(x ** ratio / (meanOfWeights[i]! ** (1 - ratio) + 1e-4), 1e-4));
  const middle = Math.sqrt(raw.reduce((a, b) => Math.max(a, b)) * raw.reduce((a, b) => Math.min(a, b)));
  return raw.map((value) => (Number.isFinite(value / middle) ? value / middle : 1));
}

/**
 * Scales of the channels that go into these matrices, [in].
 * @param meanInput the mean size of each channel
 * @param loss what the outputs are off with these values [out, in] in the place of those of the matrices
 */
export async function searchScales(
  matrices: readonly Matrix[],
  meanInput: Float32Array,
  groupSize: number,
  loss: (candidates: readonly Float32Array[]) => Promise<number>,
): Promise<ScaleSearch> {
  const weights = meanWeight(matrices, groupSize);
  const losses: number[] = [];
  let best: { scales: Float32Array; ratio: number; loss: number } | undefined;
  for (let step = 0; step < RATIOS; step++) {
    const scales = scalesAt(step / RATIOS, meanInput, weights);
    const candidates = matrices.map((matrix) => {
      const rounded = roundToNearest(scaledColumns(matrix, scales), matrix.inFeatures, groupSize, awqGrid);
      return scaledColumns({ ...matrix, values: dequantizeInt4(rounded) }, scales, true);
    });
    const own = await loss(candidates);
    losses.push(own);
    if (own < (best?.loss ?? Infinity)) best = { scales, ratio: step / RATIOS, loss: own };
  }
  // Where nothing can be told apart, channels stay as they are.
  return { scales: best?.scales ?? meanInput.map(() => 1), ratio: best?.ratio ?? 0, losses };
}

/** The columns of a matrix times their scales, or divided by them. */
export function scaledColumns(
  { values, inFeatures }: Pick<Matrix, 'values' | 'inFeatures'>,
  scales: Float32Array,
  divides = false,
): Float32Array {
  return values.map((value, i) => {
    const scale = scales[i % inFeatures]!;
    return divides ? value / scale : value * scale;
  });
}

/**
 * The values with each group clipped where that costs its outputs least.
 * @param gram Σ xᵀx of what goes in, [in, in], of which the groups' own blocks count
 */
export function clipGroups(
  { values, outFeatures, inFeatures }: Matrix,
  gram: Float32Array,
  groupSize: number,
): Float32Array {
  const clipped = new Float32Array(values.length);
  const difference = new Float32Array(groupSize);
  const candidate = new Float32Array(groupSize);
  for (let from = 0; from < inFeatures; from += groupSize) {
    const block = blockOf(gram, inFeatures, from, groupSize);
    for (let row = 0; row < outFeatures; row++) {
      const group = values.subarray(row * inFeatures + from, row * inFeatures + from + groupSize);
      const largest = group.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      let [leastError, limit] = [Infinity, largest];
      for (let step = 0; step < CLIPS; step++) {
        const bound = Math.fround(largest * Math.fround(1 - step / RATIOS));
        group.forEach((value, i) => (candidate[i] = Math.max(-bound, Math.min(bound, value))));
        const grid = gridOf(candidate, awqGrid);
        group.forEach((value, i) => (difference[i] = int4Value(int4Code(candidate[i]!, grid), grid) - value));
        const error = quadraticForm(difference, block);
        if (error < leastError) [leastError, limit] = [error, bound];
      }
      const target = clipped.subarray(row * inFeatures + from, row * inFeatures + from + groupSize);
      group.forEach((value, i) => (target[i] = Math.max(-limit, Math.min(limit, value))));
    }
  }
  return clipped;
}

/** A block on the diagonal of a square matrix. */
function blockOf(matrix: Float32Array, size: number, first: number, count: number): Float32Array {
  const block = new Float32Array(count * count);
  for (let i = 0; i < count; i++) {
    const start = (first + i) * size + first;
    block.set(matrix.subarray(start, start + count), i * count);
  }
  return block;
}

/** dᵀ · M · d of a symmetric matrix. */
function quadraticForm(d: Float32Array, matrix: Float32Array): number {
  const size = d.length;
  let total = 0;
  for (let i = 0; i < size; i++) {
    let sum = 0.5 * matrix[i * size + i]! * d[i]!;
    for (let j = i + 1; j < size; j++) sum += matrix[i * size + j]! * d[j]!;
    total += 2 * d[i]! * sum;
  }
  return total;
}
