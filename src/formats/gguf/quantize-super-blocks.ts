/**
 * Super-blocks of 256 elements, the "K" types, as llama.cpp's reference quantisers store them without an importance matrix
 * (quantize_row_*_K_ref of ggml-quants.c). Every sum and product is rounded to f32, in the reference's order: which of two
 * nearly equal scales is taken depends on the last bit.
 */
import { scaleAt, storeScale } from './blocks';
import type { QuantizeBlock } from './quantize-blocks';
import {
  leastOf,
  Q4_K,
  Q5_K,
  Q6_K,
  scaleOf,
  storeFifthBits,
  storeLowBits,
  storeQ6,
  storeScales,
  SUPER_BLOCK,
} from './super-blocks';

const { abs, fround, max, min, sqrt } = Math;

/** Groups whose elements are all smaller than this are 0. */
const LEAST_SCALE = 1e-15;

/** Adding it rounds to a whole number, halves to even: f32 has no fractions from 2^23 on. */
const WHOLE = 12_582_912;

/** The nearest whole number of an f32 below 2^22. */
function nearest(value: number): number {
  return fround(value + WHOLE) - WHOLE;
}

function nearestWithin(least: number, most: number, value: number): number {
  const whole = nearest(value);
  return whole < least ? least : whole > most ? most : whole;
}

const codes = new Uint8Array(SUPER_BLOCK);

const GROUP = 32;
const GROUPS = SUPER_BLOCK / GROUP;
const weights = new Float32Array(GROUP);
const tried = new Uint8Array(GROUP);
const scales = new Float32Array(GROUPS);
const minima = new Float32Array(GROUPS);
const scaleCodes = new Uint8Array(GROUPS);
const minimumCodes = new Uint8Array(GROUPS);

/** How scales are searched for: `steps` of `step` from `first` on are added to the largest code. */
interface Search {
  readonly most: number;
  readonly first: number;
  readonly step: number;
  readonly steps: number;
}

const FOUR_BITS: Search = { most: 15, first: -1, step: fround(0.1), steps: 20 };
const FIVE_BITS: Search = { most: 31, first: -0.5, step: fround(0.1), steps: 15 };

export const quantizeQ4_K: QuantizeBlock = (values, from, stored, to) => {
  scaleAndCode(values, from, stored, to, FOUR_BITS);
  storeLowBits(stored, to + Q4_K.low, codes);
};

export const quantizeQ5_K: QuantizeBlock = (values, from, stored, to) => {
  scaleAndCode(values, from, stored, to, FIVE_BITS);
  storeFifthBits(stored, to + Q5_K.fifth, codes);
  storeLowBits(stored, to + Q5_K.low, codes);
};

/** Stores scales and minima, which Q4_K and Q5_K have at the same bytes, and fills `codes`. */
function scaleAndCode(values: Float32Array, from: number, stored: Uint8Array, to: number, search: Search): void {
  let [largestScale, largestMinimum] = [0, 0];
  for (let group = 0; group < GROUPS; group++) {
    fitGroup(values, from + GROUP * group, group, search);
    largestScale = max(largestScale, scales[group]!);
    largestMinimum = max(largestMinimum, minima[group]!);
  }
  const scaleFactor = largestScale > 0 ? fround(63 / largestScale) : 0;
  const minimumFactor = largestMinimum > 0 ? fround(63 / largestMinimum) : 0;
  for (let group = 0; group < GROUPS; group++) {
    scaleCodes[group] = min(63, nearest(fround(scaleFactor * scales[group]!)));
    minimumCodes[group] = min(63, nearest(fround(minimumFactor * minima[group]!)));
  }
  storeScales(stored, to + Q4_K.scales, scaleCodes, minimumCodes);
  storeScale(stored, to, fround(largestScale / 63));
  storeScale(stored, to + Q4_K.least, fround(largestMinimum / 63));
  for (let group = 0; group < GROUPS; group++) {
    const scale = fround(scaleAt(stored, to) * scaleOf(stored, to + Q4_K.scales, group));
    if (scale === 0) continue;
    const least = fround(scaleAt(stored, to + Q4_K.least) * leastOf(stored, to + Q4_K.scales, group));
    for (let i = GROUP * group; i < GROUP * (group + 1); i++) {
      codes[i] = nearestWithin(0, search.most, fround(fround(values[from + i]! + least) / scale));
    }
  }
}

/**
 * Finds the scale and the minimum, stored as its size, with the least weighted squared error of a group of 32 elements;
 * larger elements weigh more. Fills the group's part of `codes` for where its scale will be rounded to 0.
 */
function fitGroup(values: Float32Array, from: number, group: number, { most, first, step, steps }: Search): void {
  let squares = 0;
  for (let i = 0; i < GROUP; i++) squares = fround(squares + fround(values[from + i]! * values[from + i]!));
  const size = fround(sqrt(fround(squares / GROUP)));
  let [least, largest] = [values[from]!, values[from]!];
  let [weightSum, valueSum] = [0, 0];
  for (let i = 0; i < GROUP; i++) {
    const value = values[from + i]!;
    const weight = fround(size + abs(value));
    weights[i] = weight;
    least = min(least, value);
    largest = max(largest, value);
    weightSum = fround(weightSum + weight);
    valueSum = fround(valueSum + fround(weight * value));
  }
  least = min(least, 0);
  const start = GROUP * group;
  if (largest === least) {
    codes.fill(0, start, start + GROUP);
    scales[group] = 0;
    minima[group] = -least;
    return;
  }
  // Elements are coded against the minimum that is the best so far.
  let factor = fround(most / fround(largest - least));
  let scale = fround(1 / factor);
  let bestError = 0;
  for (let i = 0; i < GROUP; i++) {
    const code = nearestWithin(0, most, fround(factor * fround(values[from + i]! - least)));
    codes[start + i] = code;
    const difference = fround(fround(fround(scale * code) + least) - values[from + i]!);
    bestError = fround(bestError + fround(weights[i]! * fround(difference * difference)));
  }
  for (let tries = 0; tries <= steps; tries++) {
    factor = fround(fround(fround(first + fround(step * tries)) + most) / fround(largest - least));
    let [codeSum, squareSum, productSum] = [0, 0, 0];
    for (let i = 0; i < GROUP; i++) {
      const code = nearestWithin(0, most, fround(factor * fround(values[from + i]! - least)));
      tried[i] = code;
      const weighted = fround(weights[i]! * code);
      codeSum = fround(codeSum + weighted);
      squareSum = fround(squareSum + fround(weighted * code));
      productSum = fround(productSum + fround(weighted * values[from + i]!));
    }
    const determinant = fround(fround(weightSum * squareSum) - fround(codeSum * codeSum));
    if (!(determinant > 0)) continue;
    let triedScale = fround(fround(fround(weightSum * productSum) - fround(valueSum * codeSum)) / determinant);
    let triedLeast = fround(fround(fround(squareSum * valueSum) - fround(codeSum * productSum)) / determinant);
    if (triedLeast > 0) {
      triedLeast = 0;
      triedScale = fround(productSum / squareSum);
    }
    let error = 0;
    // It only grows: what is as large as the best already can't become better.
    for (let i = 0; i < GROUP && error < bestError; i++) {
      const difference = fround(fround(fround(triedScale * tried[i]!) + triedLeast) - values[from + i]!);
      error = fround(error + fround(weights[i]! * fround(difference * difference)));
    }
    if (error < bestError) {
      codes.set(tried, start);
      bestError = error;
      scale = triedScale;
      least = triedLeast;
    }
  }
  scales[group] = scale;
  minima[group] = -least;
}

const SMALL_GROUP = 16;
const SMALL_GROUPS = SUPER_BLOCK / SMALL_GROUP;
const smallScales = new Float32Array(SMALL_GROUPS);

export const quantizeQ6_K: QuantizeBlock = (values, from, stored, to) => {
  let largest = 0;
  for (let group = 0; group < SMALL_GROUPS; group++) {
    const scale = fitSmallGroup(values, from + SMALL_GROUP * group, SMALL_GROUP * group);
    smallScales[group] = scale;
    if (abs(scale) > abs(largest)) largest = scale;
  }
  if (abs(largest) < LEAST_SCALE) {
    stored.fill(0, to, to + Q6_K.scale + 2);
    return;
  }
  const factor = fround(-128 / largest);
  const scale = storeScale(stored, to + Q6_K.scale, fround(1 / factor));
  for (let group = 0; group < SMALL_GROUPS; group++) {
    const code = min(127, nearest(fround(factor * smallScales[group]!)));
    stored[to + Q6_K.scales + group] = code;
    const groupScale = fround(scale * code);
    if (groupScale === 0) continue;
    for (let i = SMALL_GROUP * group; i < SMALL_GROUP * (group + 1); i++) {
      codes[i] = nearestWithin(-32, 31, fround(values[from + i]! / groupScale)) + 32;
    }
  }
  storeQ6(stored, to, codes);
};

/** The scale of 16 elements with the least squared error, weighted by their squares; fills `codes` from `start` on. */
function fitSmallGroup(values: Float32Array, from: number, start: number): number {
  let farthest = 0;
  for (let i = 0; i < SMALL_GROUP; i++) if (abs(values[from + i]!) > abs(farthest)) farthest = values[from + i]!;
  if (abs(farthest) < LEAST_SCALE) {
    codes.fill(0, start, start + SMALL_GROUP);
    return 0;
  }
  let factor = fround(-32 / farthest);
  let { products, squares } = weightedSums(values, from, factor);
  codeSmallGroup(values, from, start, factor);
  let scale = squares === 0 ? 0 : fround(products / squares);
  let best = fround(scale * products);
  for (let tries = -9; tries <= 9; tries++) {
    if (tries === 0) continue;
    factor = fround(-fround(32 + fround(fround(0.1) * tries)) / farthest);
    ({ products, squares } = weightedSums(values, from, factor));
    if (squares > 0 && fround(products * products) > fround(best * squares)) {
      codeSmallGroup(values, from, start, factor);
      scale = fround(products / squares);
      best = fround(scale * products);
    }
  }
  return scale;
}

function weightedSums(values: Float32Array, from: number, factor: number): { products: number; squares: number } {
  let [products, squares] = [0, 0];
  for (let i = from; i < from + SMALL_GROUP; i++) {
    const value = values[i]!;
    const code = nearestWithin(-32, 31, fround(factor * value));
    const weight = fround(value * value);
    products = fround(products + fround(fround(weight * value) * code));
    squares = fround(squares + fround(fround(weight * code) * code));
  }
  return { products, squares };
}

function codeSmallGroup(values: Float32Array, from: number, start: number, factor: number): void {
  for (let i = 0; i < SMALL_GROUP; i++) {
    codes[start + i] = nearestWithin(-32, 31, fround(factor * values[from + i]!)) + 32;
  }
}
