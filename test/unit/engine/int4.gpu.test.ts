/** GPTQ and AWQ against AutoGPTQ and AutoAWQ: the reference's golden/quantizers. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { awqGrid, roundToNearest, type Int4Matrix } from '../../../src/core/int4';
import { toFloat32 } from '../../../src/core/dtypes';
import { clipGroups, scaledColumns, searchScales } from '../../../src/engine/int4/awq';
import { quantizeGptq } from '../../../src/engine/int4/gptq';
import { inverseFactor } from '../../../src/engine/int4/inverse-factor';
import { unpackInt4, wordsOf } from '../../../src/formats/int4/layouts';
import { openRunner, type Runner } from '../../support/graph-runner';
import { int4Goldens } from '../../support/int4-goldens';
import { testGpu } from '../../support/gpu';
import { hasReference } from '../../support/reference';
import { Random } from '../../../src/core/rng';

let runner: Runner;
beforeAll(async () => (runner = await openRunner((await testGpu()).gpu)));
afterAll(() => runner.device.destroy());

/** Σ xᵀx of rows [n, size], times `factor`. */
function gramOf(rows: Float32Array, size: number, factor = 1): Float32Array {
  const gram = new Float64Array(size * size);
  for (let from = 0; from < rows.length; from += size) {
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) gram[i * size + j]! += rows[from + i]! * rows[from + j]!;
    }
  }
  return Float32Array.from(gram, (value) => factor * value);
}

/** The mean of ((A − B)·x)² over inputs [n, size]. */
function outputError(a: Float32Array, b: Float32Array, inputs: Float32Array, size: number): number {
  let total = 0;
  for (let row = 0; row < a.length; row += size) {
    for (let from = 0; from < inputs.length; from += size) {
      let sum = 0;
      for (let i = 0; i < size; i++) sum += (a[row + i]! - b[row + i]!) * inputs[from + i]!;
      total += sum ** 2;
    }
  }
  return (total * size * size) / (a.length * inputs.length);
}

describe('the factor of the inverse', () => {
  it.each([8, 128, 200, 384])('of %d columns gives the inverse', async (size) => {
    const random = new Random(size);
    const rows = Float32Array.from({ length: 2 * size * size }, () => random.normal());
    const matrix = gramOf(rows, size, 1 / size);
    const factor = await inverseFactor(runner.runtime, matrix, size);
    let worst = 0;
    // U · H · Uᵀ = 1.
    for (let i = 0; i < size; i += 7) {
      const row = new Float64Array(size);
      for (let k = i; k < size; k++) {
        for (let j = 0; j < size; j++) row[j]! += factor[i * size + k]! * matrix[k * size + j]!;
      }
      for (let j = 0; j < size; j++) {
        let sum = 0;
        for (let k = j; k < size; k++) sum += row[k]! * factor[j * size + k]!;
        worst = Math.max(worst, Math.abs(sum - (i === j ? 1 : 0)));
        if (j < i) expect(factor[i * size + j]).toBe(0);
      }
    }
    expect(worst).toBeLessThan(2e-4);
  });

  it('refuses what is not positive definite', async () => {
    await expect(inverseFactor(runner.runtime, Float32Array.of(1, 2, 2, 1), 2)).rejects.toThrow(
      /Calibrate with other rows/,
    );
  });
});

async function goldenMatrix(file: 'gptq' | 'awq', name: string): Promise<Int4Matrix> {
  const { inFeatures, outFeatures } = await int4Goldens.weight(name);
  const golden = await int4Goldens.packed(file, name);
  const parts = { qweight: golden.get('qweight')!, qzeros: golden.get('qzeros')!, scales: golden.get('scales')! };
  const groups = parts.scales.byteLength / 2 / outFeatures;
  const groupOf =
    file === 'gptq'
      ? Uint32Array.from(wordsOf(golden.get('g_idx')!))
      : Uint32Array.from({ length: inFeatures }, (_, i) => Math.floor((i * groups) / inFeatures));
  return unpackInt4(file, outFeatures, inFeatures, parts, groupOf);
}

/** Part of the codes that are others: none on the devices seen so far, and few on any, as their last bits differ. */
function partApart(own: Uint8Array, golden: Uint8Array): number {
  return own.filter((code, i) => code !== golden[i]).length / own.length;
}

const FEW = 1e-3;

describe.skipIf(!hasReference)('GPTQ', () => {
  it.each([
    ['real_g32_sym_gptq', 32, true, false],
    ['real_g32_asym_actorder_gptq', 32, false, true],
    ['real_g-1_asym_gptq', 64, false, false],
    ['random_g128_asym_gptq', 128, false, false],
    ['random_g128_sym_actorder_gptq', 128, true, true],
  ])('%s has the codes of the reference', async (name, groupSize, symmetric, actOrder) => {
    const { values, inFeatures, outFeatures, inputs } = await int4Goldens.weight(name);
    const gram = gramOf(inputs, inFeatures, 2 / 4);
    const options = { gram, groupSize, symmetric, actOrder, dampPercent: 0.01 };
    const own = await quantizeGptq(runner.runtime, { values, inFeatures, outFeatures }, options);
    const golden = await goldenMatrix('gptq', name);
    expect([...own.groupOf]).toEqual([...golden.groupOf]);
    expect(partApart(own.codes, golden.codes)).toBeLessThan(FEW);
    expect([...own.zeros]).toEqual([...golden.zeros]);
  });
});

describe.skipIf(!hasReference)('AWQ', () => {
  it.each([
    ['real_g32_search', 32],
    ['random_g128_search', 128],
  ])('%s finds the scales, the clips and the codes of the reference', async (name, groupSize) => {
    const { values, inFeatures, outFeatures, inputs } = await int4Goldens.weight(name);
    const tokens = inputs.length / inFeatures;
    const gram = gramOf(inputs, inFeatures);
    const meanInput = new Float32Array(inFeatures);
    inputs.forEach((value, i) => (meanInput[i % inFeatures]! += Math.abs(value) / tokens));
    const loss = (candidates: readonly Float32Array[]) =>
      Promise.resolve(outputError(candidates[0]!, values, inputs, inFeatures));
    const found = await searchScales([{ values, inFeatures, outFeatures }], meanInput, groupSize, loss);
    const facts = int4Goldens.facts('awq', name);
    expect(found.ratio).toBe(facts['best_ratio']);
    (facts['losses'] as number[]).forEach((value, i) => expect(found.losses[i]! / value).toBeCloseTo(1, 3));
    const golden = await int4Goldens.packed('awq', name);
    const scale = toFloat32(golden.get('scale')!, 'f32');
    found.scales.forEach((value, i) => expect(value / scale[i]!).toBeCloseTo(1, 5));

    // With its very scales: a range clipped on both sides has its zero point halfway between two codes, by the last bit.
    const scaled = scaledColumns({ values, inFeatures }, scale);
    const scaledGram = gram.map((value, i) => value / (scale[i % inFeatures]! * scale[Math.floor(i / inFeatures)]!));
    const clipped = clipGroups({ values: scaled, inFeatures, outFeatures }, scaledGram, groupSize);
    const bounds = toFloat32(golden.get('clip_max')!, 'f32');
    const groups = inFeatures / groupSize;
    bounds.forEach((bound, i) => {
      const from = Math.floor(i / groups) * inFeatures + (i % groups) * groupSize;
      expect(Math.max(...clipped.subarray(from, from + groupSize).map(Math.abs)) / bound).toBeCloseTo(1, 5);
    });
    const { codes } = roundToNearest(clipped, inFeatures, groupSize, awqGrid);
    expect(partApart(codes, (await goldenMatrix('awq', name)).codes)).toBeLessThan(FEW);
  });
});
