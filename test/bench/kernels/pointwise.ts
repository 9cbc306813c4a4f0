/** What is bound by memory: norms, rotary embedding, activations, sums, the loss, the optimiser. */
import { adapterParameters } from '../../../src/core/spec';
import { elementCount } from '../../../src/core/dtypes';
import { backward } from '../../../src/engine/graph/autodiff';
import { add } from '../../../src/engine/ops/add';
import { headLossGradients } from '../../../src/engine/ops/head_loss';
import { adamwOp, globalNorm } from '../../../src/engine/ops/optimizer';
import { rmsNorm } from '../../../src/engine/ops/rms_norm';
import { rope } from '../../../src/engine/ops/rope';
import { swiglu } from '../../../src/engine/ops/glu';
import * as loss from '../../reference/head_loss';
import * as norms from '../../reference/rms_norm';
import * as optimizer from '../../reference/optimizer';
import * as rotation from '../../reference/rope';
import * as gated from '../../reference/glu';
import { relativeError } from '../../support/compare';
import type { LeafInput } from '../../support/graph-runner';
import { LORA, type BenchModel } from '../models';
import { normal } from '../values';
import { kernelBench, type KernelBench } from './types';

const TOKENS = 256;

const LOSS_ROWS = 64;
const LOSS_CHANNELS = 64;

const trainable = (input: LeafInput): LeafInput => ({ ...input, trainable: true });
const given = (values: readonly number[], dtype: 'u32' | 'i32' | 'f32', shape = [values.length]): LeafInput => ({
  shape,
  dtype,
  values,
});
const worst = (actual: readonly Float32Array[], expected: readonly ArrayLike<number>[]) =>
  Math.max(...expected.map((values, i) => relativeError(actual[i]!, values)));

export function pointwiseBenches(model: BenchModel): KernelBench[] {
  return [normBench(model), ropeBench(model), swigluBench(model), addBench(model), lossBench(model), adamwBench(model)];
}

function normBench({ name: model, spec: { hiddenSize, rmsNormEps } }: BenchModel): KernelBench {
  const eps = Math.fround(rmsNormEps);
  const shape = [TOKENS, hiddenSize];
  return kernelBench({
    names: { name: 'rms norm', model, dtype: 'f32', shape: shape.join(' × ') },
    inputs: () => ({ x: trainable(normal(shape)), weight: normal([hiddenSize]), dy: normal(shape) }),
    build: (graph, { x, weight, dy }) => {
      const y = rmsNorm(graph, x, weight, eps);
      return [y, backward(graph, new Map([[y, dy]])).get(x)!];
    },
    check: ({ x, weight, dy }, results) =>
      worst(results, [
        norms.rmsNorm(x.values, weight.values, eps),
        norms.rmsNormBackward(x.values, weight.values, eps, dy.values).dx,
      ]),
  });
}

function ropeBench({ name: model, spec: { numHeads: heads, headDim } }: BenchModel): KernelBench {
  const shape = [TOKENS, heads * headDim];
  const half = headDim / 2;
  const angles = Array.from({ length: TOKENS * half }, (_, i) => Math.floor(i / half) * 10 ** (-(i % half) / half));
  const sizes = { length: TOKENS, heads, headDim };
  return kernelBench({
    names: { name: 'rope', model, dtype: 'f32', shape: `${TOKENS} × ${heads} × ${headDim}` },
    inputs: () => ({
      x: normal(shape),
      start: given([0], 'u32'),
      cos: given(angles.map(Math.cos), 'f32', [TOKENS, half]),
      sin: given(angles.map(Math.sin), 'f32', [TOKENS, half]),
    }),
    build: (graph, { x, start, cos, sin }) => [rope(graph, x, { start, cos, sin }, sizes)],
    check: ({ x, start, cos, sin }, results) =>
      worst(results, [rotation.rope(x.values, { start: start.values }, cos.values, sin.values, sizes)]),
  });
}

function swigluBench({ name: model, spec: { intermediateSize } }: BenchModel): KernelBench {
  const shape = [TOKENS, intermediateSize];
  return kernelBench({
    names: { name: 'swiglu', model, dtype: 'f32', shape: shape.join(' × ') },
    inputs: () => ({ gate: trainable(normal(shape)), up: trainable(normal(shape)), dy: normal(shape) }),
    build: (graph, { gate, up, dy }) => {
      const y = swiglu(graph, gate, up);
      const gradients = backward(graph, new Map([[y, dy]]));
      return [y, gradients.get(gate)!, gradients.get(up)!];
    },
    check: ({ gate, up, dy }, results) => {
      const { dgate, dup } = gated.swigluBackward(gate.values, up.values, dy.values);
      return worst(results, [gated.swiglu(gate.values, up.values), dgate, dup]);
    },
  });
}

function addBench({ name: model, spec: { hiddenSize } }: BenchModel): KernelBench {
  const shape = [TOKENS, hiddenSize];
  return kernelBench({
    names: { name: 'add', model, dtype: 'f32', shape: shape.join(' × ') },
    inputs: () => ({ a: normal(shape), b: normal(shape) }),
    build: (graph, { a, b }) => [add(graph, a, b)],
    check: ({ a, b }, results) => worst(results, [Float64Array.from(a.values, (value, i) => value + b.values[i]!)]),
  });
}

/** The head with its loss at a narrow hidden size: what it costs beside its products. */
function lossBench({ name: model, spec: { vocabSize } }: BenchModel): KernelBench {
  const products = 6 * LOSS_ROWS * LOSS_CHANNELS * vocabSize;
  return kernelBench({
    names: { name: 'head and loss', model, dtype: 'f32', shape: `${LOSS_ROWS} × ${LOSS_CHANNELS} to ${vocabSize}` },
    inputs: () => ({
      hidden: normal([LOSS_ROWS, LOSS_CHANNELS]),
      table: normal([vocabSize, LOSS_CHANNELS]),
      labels: given(
        Array.from({ length: LOSS_ROWS }, (_, i) => (i * 7919) % vocabSize),
        'i32',
      ),
      rows: given(
        Array.from({ length: LOSS_ROWS }, (_, row) => row),
        'u32',
      ),
      dloss: given([0.5], 'f32'),
    }),
    build: (graph, { hidden, table, labels, rows, dloss }) => {
      const { loss, dHidden } = headLossGradients(graph, hidden, [table], { labels, rows }, dloss);
      return [loss, dHidden];
    },
    check: ({ hidden, table, labels }, results) => {
      const [h, w, l] = [hidden.values, table.values, labels.values];
      return worst(results, [[loss.headLoss(h, w, l)], loss.headLossBackward(h, w, l, 0.5).dHidden]);
    },
    flops: { headLossGradients: products },
  });
}

function adamwBench({ name: model, spec }: BenchModel): KernelBench {
  const layer = adapterParameters({ ...spec, numLayers: 1 }, LORA);
  const count = layer.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const attrs = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, maxNorm: 1 };
  const step = 3;
  const learningRate = Math.fround(0.01);
  return kernelBench({
    names: { name: 'update', model, dtype: 'f32', shape: `${count}` },
    inputs: () => ({
      gradient: normal([count]),
      loss: given([1], 'f32'),
      schedule: given([learningRate, 1 - attrs.beta1 ** step, Math.sqrt(1 - attrs.beta2 ** step)], 'f32'),
      // A step over zeros, so that running it again and again leads nowhere that f32 can't hold.
      parameter: normal([count]),
      expAvg: given([], 'f32', [count]),
      expAvgSq: given([], 'f32', [count]),
    }),
    build: (graph, { gradient, loss: lossLeaf, schedule, parameter, expAvg, expAvgSq }) => {
      const norm = globalNorm(graph, [gradient]);
      graph.apply(adamwOp, [gradient, norm, lossLeaf, schedule, parameter, expAvg, expAvgSq], attrs);
      return [norm, parameter];
    },
    check: ({ gradient, parameter }, results) => {
      const zeros = new Float32Array(count);
      const norm = optimizer.globalNorm([gradient.values]);
      const after = optimizer.adamw(gradient.values, norm, parameter.values, zeros, zeros, {
        ...attrs,
        learningRate,
        step,
      });
      return worst(results, [[norm], after.parameter]);
    },
  });
}
