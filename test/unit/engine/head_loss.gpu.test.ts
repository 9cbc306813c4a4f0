/** The loss at the size of real models: 4,096 tokens and a vocabulary of 128,256, in bounded memory. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { fromFloat32, toFloat32 } from '../../../src/core/dtypes';
import { Random } from '../../../src/core/rng';
import { Graph } from '../../../src/engine/graph/graph';
import { headLossGradients } from '../../../src/engine/ops/head_loss';
import * as reference from '../../reference/head_loss';
import { relativeError } from '../../support/compare';
import { declareLeaves, openRunner, placeGraph, type LeafInput, type Runner } from '../../support/graph-runner';
import { testGpu } from '../../support/gpu';

const TOKENS = 4096;
const VOCAB = 128_256;
const CHANNELS = 16;

/** Hidden states of which all rows are copies: the whole loss is then as fast to refer to as that of these few rows. */
const DISTINCT = 32;

let runner: Runner;
beforeAll(async () => {
  runner = await openRunner((await testGpu()).gpu);
});
afterAll(() => runner.device.destroy());

it('equals the plain reference, within planned memory', async () => {
  const random = new Random(7, 1);
  const normal = (count: number) => Float32Array.from({ length: count }, () => random.normal());
  const table = toFloat32(fromFloat32(normal(VOCAB * CHANNELS), 'bf16'), 'bf16');
  const vectors = normal(DISTINCT * CHANNELS);
  const vector = Array.from({ length: TOKENS }, () => random.uint32() % DISTINCT);
  const labels = Array.from({ length: TOKENS }, (_, i) => (i % 5 === 0 ? -100 : random.uint32() % VOCAB));
  const hidden = new Float32Array(TOKENS * CHANNELS);
  vector.forEach((k, row) => hidden.set(vectors.subarray(k * CHANNELS, (k + 1) * CHANNELS), row * CHANNELS));
  const labelled = labels.flatMap((label, row) => (label < 0 ? [] : [row]));
  const rows = Array.from({ length: TOKENS }, (_, i) => labelled[i] ?? 2 ** 32 - 1);
  const inputs: Record<'hidden' | 'table' | 'labels' | 'rows' | 'dLoss', LeafInput> = {
    hidden: { shape: [TOKENS, CHANNELS], dtype: 'f32', values: hidden },
    table: { shape: [VOCAB, CHANNELS], dtype: 'bf16', values: table },
    labels: { shape: [TOKENS], dtype: 'i32', values: labels },
    rows: { shape: [TOKENS], dtype: 'u32', values: rows },
    dLoss: { shape: [1], dtype: 'f32', values: [1 / 1024] },
  };

  const graph = new Graph();
  const leaves = declareLeaves(graph, inputs);
  const outputs = headLossGradients(graph, leaves.hidden, [leaves.table], leaves, leaves.dLoss);
  const placed = await placeGraph(runner, graph, inputs, [outputs.loss, outputs.dHidden]);
  const { activations, workspace } = placed.plan.bytes;
  expect(activations + workspace).toBeLessThan(48 * 2 ** 20);
  expect(placed.memory.ledger.liveBytes()).toEqual(placed.plan);
  const [loss, dHidden] = await placed.memory.runAndRead('main', [outputs.loss, outputs.dHidden], labelled.length);
  placed.memory.destroy();

  // loss = Σ (lse − hidden · w of the label); lse from a label of 0, whose logit is added again.
  const dot = (row: number, token: number) =>
    vectors
      .subarray(vector[row]! * CHANNELS, (vector[row]! + 1) * CHANNELS)
      .reduce((sum, value, c) => sum + value * table[token * CHANNELS + c]!, 0);
  const lse = Array.from({ length: DISTINCT }, (_, k) => {
    const row = vectors.subarray(k * CHANNELS, (k + 1) * CHANNELS);
    const logit = row.reduce((sum, value, c) => sum + value * table[c]!, 0);
    return reference.headLoss(row, table, [0]) + logit;
  });
  const losses = labels.map((label, row) => (label < 0 ? 0 : lse[vector[row]!]! - dot(row, label)));
  expect(Math.abs(loss![0]! / losses.reduce((sum, value) => sum + value, 0) - 1)).toBeLessThan(1e-6);

  const sample = [0, 1, 63, 64, 129, 2047, 2048, 3333, 4093, 4094, 4095];
  for (const row of sample) {
    const values = hidden.subarray(row * CHANNELS, (row + 1) * CHANNELS);
    const expected = reference.headLossBackward(values, table, [labels[row]!], 1 / 1024);
    const actual = dHidden!.subarray(row * CHANNELS, (row + 1) * CHANNELS);
    if (labels[row]! < 0) expect(actual.every((value) => value === 0)).toBe(true);
    else expect(relativeError(actual, expected.dHidden), `row ${row}`).toBeLessThan(1e-5);
  }
});
