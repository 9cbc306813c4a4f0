/** Attention over 4,096 rows: right at both ends of the sequence, and in memory that grows with its length alone. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../../../src/core/rng';
import { backward } from '../../../src/engine/graph/autodiff';
import { Graph, type Tensor } from '../../../src/engine/graph/graph';
import { PLAIN } from '../../../src/engine/graph/kernel';
import { attention } from '../../../src/engine/ops/attention';
import { planPrograms } from '../../../src/engine/compile/plan';
import * as reference from '../../reference/attention';
import { relativeError } from '../../support/compare';
import { testGpu } from '../../support/gpu';
import { declareLeaves, openRunner, runGraph, type Runner } from '../../support/graph-runner';
import { given, normal, trainable } from './cases/types';

const LENGTH = 4096;
const TOLERANCE = 1e-5;
const heads = { heads: 3, kvHeads: 1, headDim: 64 }; // enough for a gradient in two dispatches
const WIDTH = heads.heads * heads.headDim;

function inputs(length: number) {
  return {
    q: trainable(normal([length, WIDTH], 2)),
    k: trainable(normal([length, heads.headDim])),
    v: trainable(normal([length, heads.headDim])),
    start: given([0]),
    dy: normal([length, WIDTH]),
  };
}

function build(graph: Graph, { q, k, v, start, dy }: Record<keyof ReturnType<typeof inputs>, Tensor>, length: number) {
  const y = attention(graph, q, k, v, { start }, { batch: 1, length, keys: length, ...heads });
  const gradients = backward(graph, new Map([[y, dy]]));
  return { y, dq: gradients.get(q)!, dk: gradients.get(k)!, dv: gradients.get(v)! };
}

describe(`attention over ${LENGTH} rows`, () => {
  let runner: Runner;
  beforeAll(async () => {
    runner = await openRunner((await testGpu()).gpu);
  });
  afterAll(() => runner.device.destroy());

  it('equals plain loops, forward and back', async () => {
    // A gradient comes from a sample of rows, so that plain loops can follow it to every key.
    const random = new Random(21);
    const sample = [0, 1, LENGTH - 1, ...Array.from({ length: 40 }, () => random.uint32() % LENGTH)];
    const rows = [...new Set(sample)];
    const all = inputs(LENGTH);
    const dy = new Float32Array(LENGTH * WIDTH);
    const part = (values: ArrayLike<number>, row: number) =>
      (values as Float32Array).subarray(row * WIDTH, (row + 1) * WIDTH);
    for (const row of rows) dy.set(part(all.dy.values, row), row * WIDTH);
    const sampled: typeof all = { ...all, dy: { ...all.dy, values: dy } };
    const actual = await runGraph(runner, sampled, (graph, leaves) => build(graph, leaves, LENGTH));

    const expected = { dq: new Float64Array(dy.length), dk: new Float64Array(LENGTH * heads.headDim) };
    const dv = new Float64Array(expected.dk.length);
    const { q, k, v } = all;
    for (const row of rows) {
      const positions = { start: [row] };
      const sizes = { batch: 1, length: 1, keys: LENGTH, ...heads };
      const y = reference.attention(part(q.values, row), k.values, v.values, positions, sizes);
      expect(relativeError(part(actual.y, row), y), `row ${row}`).toBeLessThan(TOLERANCE);
      const own = part(dy, row);
      const d = reference.attentionBackward(part(q.values, row), k.values, v.values, positions, own, sizes);
      expected.dq.set(d.dq, row * WIDTH);
      d.dk.forEach((value, i) => (expected.dk[i]! += value));
      d.dv.forEach((value, i) => (dv[i]! += value));
    }
    expect(relativeError(actual.dq, expected.dq)).toBeLessThan(TOLERANCE);
    expect(relativeError(actual.dk, expected.dk)).toBeLessThan(TOLERANCE);
    expect(relativeError(actual.dv, dv)).toBeLessThan(TOLERANCE);
  });
});

it.each([PLAIN, { subgroups: true, f16: true, software: true }])(
  'plans memory that grows with the length alone, %o',
  (capabilities) => {
    const bytes = (length: number) => {
      const graph = new Graph();
      Object.values(build(graph, declareLeaves(graph, inputs(length)), length)).forEach((tensor) => graph.keep(tensor));
      const { slots } = planPrograms(new Map([['main', graph]]), capabilities);
      return slots.reduce((sum, slot) => sum + slot.bytes, 0);
    };
    expect(bytes(LENGTH)).toBeLessThanOrEqual(2 * bytes(LENGTH / 2));
  },
);
