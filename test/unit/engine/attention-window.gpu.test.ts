/**
 * A window's cost is that of the window: what lies wholly outside it is never read. NaN shows it, for a key that is
 * masked but read makes NaN of the sum that it is added to with a weight of 0.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { backward } from '../../../src/engine/graph/autodiff';
import { attention } from '../../../src/engine/ops/attention';
import * as reference from '../../reference/attention';
import { relativeError } from '../../support/compare';
import { testGpu } from '../../support/gpu';
import { openRunner, runGraph, type LeafInput, type Runner } from '../../support/graph-runner';
import { given, normal, trainable } from './cases/types';

const TOLERANCE = 1e-5;
const heads = { heads: 3, kvHeads: 1, headDim: 16, window: 20 };
const LENGTH = 420;

/** Keys before this are NaN, and gradients from there on. */
const FIRST_KEY = 100;
const LAST_GRADIENT = 400;

/** Most that a kernel reads beside the window: the rows of its tile, and a block of what they are multiplied with. */
const MARGIN = 64 + 32;

const rows = (values: ArrayLike<number>, width: number, first: number, last: number) =>
  Array.from(values).slice(first * width, last * width);

/** The tensor with rows `first` to `last` of `value`. */
const poisoned = (input: LeafInput, first: number, last: number, value: number): LeafInput => {
  const width = input.shape.at(-1)!;
  return { ...input, values: Float32Array.from(input.values).fill(value, first * width, last * width) };
};

describe.each([true, false])('with the kernels of a software adapter: %s', (software) => {
  let runner: Runner;
  beforeAll(async () => {
    runner = await openRunner((await testGpu()).gpu, { software });
  });
  afterAll(() => runner.device.destroy());

  it('reads no key or gradient outside of it in training', async () => {
    const width = heads.heads * heads.headDim;
    const sizes = { batch: 1, length: LENGTH, keys: LENGTH, ...heads };
    const clean = {
      q: trainable(normal([LENGTH, width])),
      k: trainable(normal([LENGTH, heads.headDim])),
      v: trainable(normal([LENGTH, heads.headDim])),
      dy: normal([LENGTH, width]),
      start: given([0]),
    };
    const inputs = {
      ...clean,
      k: poisoned(clean.k, 0, FIRST_KEY, NaN),
      v: poisoned(clean.v, 0, FIRST_KEY, NaN),
      dy: poisoned(clean.dy, LAST_GRADIENT, LENGTH, NaN),
    };
    const actual = await runGraph(runner, inputs, (graph, { q, k, v, dy, start }) => {
      const y = attention(graph, q, k, v, { start }, sizes);
      const gradients = backward(graph, new Map([[y, dy]]));
      return { y, dq: gradients.get(q)!, dk: gradients.get(k)!, dv: gradients.get(v)! };
    });

    const [q, k, v, dy] = [clean.q.values, clean.k.values, clean.v.values, clean.dy.values];
    const y = reference.attention(q, k, v, { start: [0] }, sizes);
    const { dq, dk, dv } = reference.attentionBackward(q, k, v, { start: [0] }, dy, sizes);
    const first = FIRST_KEY + heads.window + MARGIN;
    const last = LAST_GRADIENT - heads.window - MARGIN;
    const error = (a: ArrayLike<number>, b: ArrayLike<number>, size: number, end: number) =>
      relativeError(rows(a, size, first, end), rows(b, size, first, end));
    expect(error(actual.y, y, width, LENGTH)).toBeLessThan(TOLERANCE);
    expect(error(actual.dq, dq, width, LAST_GRADIENT)).toBeLessThan(TOLERANCE);
    expect(error(actual.dk, dk, heads.headDim, last)).toBeLessThan(TOLERANCE);
    expect(error(actual.dv, dv, heads.headDim, last)).toBeLessThan(TOLERANCE);
  });

  it.each([1, 65])('reads no key outside of it from a cache, %i rows', async (length) => {
    const capacity = 400;
    const start = 300;
    const sizes = { batch: 1, length, keys: capacity, ...heads };
    const clean = {
      q: normal([length, heads.heads * heads.headDim]),
      k: normal([1, capacity, heads.headDim]),
      v: normal([1, capacity, heads.headDim]),
      start: given([start]),
    };
    const unseen = start + 1 - heads.window;
    const inputs = { ...clean, k: poisoned(clean.k, 0, unseen, NaN), v: poisoned(clean.v, 0, unseen, NaN) };
    const { y } = await runGraph(runner, inputs, (graph, { q, k, v, start }) => ({
      y: attention(graph, q, k, v, { start }, sizes),
    }));
    const expected = reference.attention(clean.q.values, clean.k.values, clean.v.values, { start: [start] }, sizes);
    expect(relativeError(y, expected)).toBeLessThan(TOLERANCE);
  });
});
