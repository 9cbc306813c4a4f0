/** Attention as in training, forward and backward: every sequence from position 0, causal. */
import type { DecoderSpec } from '../../../src/core/spec';
import { backward } from '../../../src/engine/graph/autodiff';
import { attention } from '../../../src/engine/ops/attention';
import * as reference from '../../reference/attention';
import type { LeafInput } from '../../support/graph-runner';
import { relativeError } from '../../support/compare';
import type { Ceilings } from '../bench';
import type { BenchModel } from '../models';
import { normal } from '../values';
import { affordable, kernelBench, type KernelBench } from './types';

const LENGTHS = [128, 256, 512, 1024, 2048];

/** Products of a causal score in each kernel, times two: the half of T² that is seen. */
const FLOPS = { attention: 2, attentionDq: 3, attentionDkv: 4 };

export function attentionBenches({ name: model, spec }: BenchModel, { matmul: rate }: Ceilings): KernelBench[] {
  const { numHeads: heads, numKeyValueHeads: kvHeads, headDim } = spec;
  const work = (length: number) => heads * headDim * length ** 2;
  // Attention runs at some part of a product's rate.
  const length = affordable(LENGTHS, (size) => 9 * work(size), rate / 3);
  const sizes = { batch: 1, length, keys: length, heads, kvHeads, headDim };
  const trainable = (input: LeafInput): LeafInput => ({ ...input, trainable: true });
  return [
    kernelBench({
      names: { name: 'attention', model, dtype: 'f32', shape: `T ${length}, H ${heads}/${kvHeads}, D ${headDim}` },
      inputs: () => ({
        q: trainable(normal([length, heads * headDim])),
        k: trainable(normal([length, kvHeads * headDim])),
        v: trainable(normal([length, kvHeads * headDim])),
        dy: normal([length, heads * headDim]),
        start: { shape: [1], dtype: 'u32', values: [0] },
      }),
      build: (graph, { q, k, v, dy, start }) => {
        const y = attention(graph, q, k, v, { start }, sizes);
        const gradients = backward(graph, new Map([[y, dy]]));
        return [y, ...[q, k, v].map((input) => gradients.get(input)!)];
      },
      check: (inputs, results) => groupError(inputs, results, length, spec),
      flops: Object.fromEntries(Object.entries(FLOPS).map(([op, factor]) => [op, factor * work(length)])),
    }),
  ];
}

/** Heads of different groups know nothing of each other: the reference computes the first group only. */
function groupError(
  inputs: Readonly<Record<'q' | 'k' | 'v' | 'dy', LeafInput>>,
  [y, dq, dk, dv]: readonly Float32Array[],
  length: number,
  { numHeads, numKeyValueHeads, headDim }: DecoderSpec,
): number {
  const heads = numHeads / numKeyValueHeads;
  const sizes = { batch: 1, length, keys: length, heads, kvHeads: 1, headDim };
  const ofHeads = (values: ArrayLike<number>) => firstColumns(values, length, heads * headDim);
  const ofGroup = (values: ArrayLike<number>) => firstColumns(values, length, headDim);
  const [q, k, v] = [ofHeads(inputs.q.values), ofGroup(inputs.k.values), ofGroup(inputs.v.values)];
  const gradients = reference.attentionBackward(q, k, v, { start: [0] }, ofHeads(inputs.dy.values), sizes);
  return Math.max(
    relativeError(ofHeads(y!), reference.attention(q, k, v, { start: [0] }, sizes)),
    relativeError(ofHeads(dq!), gradients.dq),
    relativeError(ofGroup(dk!), gradients.dk),
    relativeError(ofGroup(dv!), gradients.dv),
  );
}

function firstColumns(values: ArrayLike<number>, rows: number, columns: number): Float32Array {
  const stride = values.length / rows;
  return Float32Array.from(
    { length: rows * columns },
    (_, i) => values[Math.floor(i / columns) * stride + (i % columns)]!,
  );
}
