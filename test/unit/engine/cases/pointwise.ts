/** Norms, activations, sums, dropout. */
import { accumulate } from '../../../../src/engine/ops/accumulate';
import { add } from '../../../../src/engine/ops/add';
import { addBias } from '../../../../src/engine/ops/bias';
import { dropout } from '../../../../src/engine/ops/dropout';
import { rmsNorm } from '../../../../src/engine/ops/rms_norm';
import { fusedGlu, glu, swiglu, type Activation } from '../../../../src/engine/ops/glu';
import * as sums from '../../../reference/add';
import * as sides from '../../../reference/columns';
import { dropout as dropoutReference } from '../../../reference/dropout';
import * as norms from '../../../reference/rms_norm';
import * as gated from '../../../reference/glu';
import type { Values } from '../../../reference/values';
import { given, normal, opCase, trainable, type OpCase } from './types';

/** `heads`: equal parts of a row, each normed by itself. */
function rmsNormCase(
  rows: number,
  channels: number,
  { scale = 1, offset = 0, heads = 1 }: { scale?: number; offset?: number; heads?: number } = {},
): OpCase {
  const eps = Math.fround(1e-5);
  const details = [
    ...(scale === 1 ? [] : [` of size ${scale}`]),
    ...(offset === 0 ? [] : [`, offset ${offset}`]),
    ...(heads === 1 ? [] : [` in ${heads} heads`]),
  ];
  return opCase({
    name: `rmsNorm [${rows}, ${channels}]${details.join('')}`,
    inputs: { x: trainable(normal([rows, channels], scale)), weight: trainable(normal([channels / heads])) },
    build: (graph, { x, weight }) => [rmsNorm(graph, x, weight, eps, offset)],
    forward: ({ x, weight }) => [norms.rmsNorm(x, weight, eps, offset)],
    backward: ({ x, weight }, dy) => {
      const { dx, dweight } = norms.rmsNormBackward(x, weight, eps, dy, offset);
      return { x: dx, weight: dweight };
    },
  });
}

/** A pre-norm residual: the skip's gradient is folded into the norm's kernel. */
function residualNormCase(rows: number, channels: number): OpCase {
  const eps = Math.fround(1e-6);
  return opCase({
    name: `rmsNorm beside a skip [${rows}, ${channels}]`,
    inputs: { x: trainable(normal([rows, channels])), weight: normal([channels]) },
    build: (graph, { x, weight }) => [add(graph, x, rmsNorm(graph, x, weight, eps))],
    forward: ({ x, weight }) => [sums.add(x, norms.rmsNorm(x, weight, eps), 1)],
    backward: ({ x, weight }, dy) => ({ x: sums.add(dy, norms.rmsNormBackward(x, weight, eps, dy).dx, 1) }),
  });
}

const gluReferences = {
  silu: { forward: gated.swiglu, backward: gated.swigluBackward },
  gelu_tanh: { forward: gated.geglu, backward: gated.gegluBackward },
};

function gluCase(activation: Activation, rows: number, channels: number, scale = 1): OpCase {
  const { forward, backward } = gluReferences[activation];
  return opCase({
    name: `glu ${activation} [${rows}, ${channels}]${scale === 1 ? '' : `, gate of size ${scale}`}`,
    inputs: { gate: trainable(normal([rows, channels], scale)), up: trainable(normal([rows, channels])) },
    build: (graph, { gate, up }) => [glu(graph, activation, gate, up)],
    forward: ({ gate, up }) => [forward(gate, up)],
    backward: ({ gate, up }, dy) => {
      const { dgate, dup } = backward(gate, up, dy);
      return { gate: dgate, up: dup };
    },
  });
}

/** Gate and up side by side; `inPlace` has the gradient take the place of what is computed before. */
function fusedGluCase(activation: Activation, rows: number, channels: number, inPlace = false): OpCase {
  const { forward, backward } = gluReferences[activation];
  const half = [channels, channels];
  const doubled = (x: Values) => (inPlace ? sums.add(x, x, 1) : Float64Array.from(x));
  return opCase({
    name: `fused glu ${activation} [${rows}, 2 · ${channels}]${inPlace ? ' of a sum' : ''}`,
    inputs: { x: trainable(normal([rows, 2 * channels])) },
    build: (graph, { x }) => [fusedGlu(graph, activation, inPlace ? add(graph, x, x) : x)],
    forward: ({ x }) => {
      const [gate, up] = sides.splitColumns(doubled(x), half);
      return [forward(gate!, up!)];
    },
    backward: ({ x }, dy) => {
      const [gate, up] = sides.splitColumns(doubled(x), half);
      const { dgate, dup } = backward(gate!, up!, dy);
      return { x: doubled(sides.concatColumns([dgate, dup], half)) };
    },
  });
}

function addCase(rows: number, channels: number, scale: number): OpCase {
  return opCase({
    name: `add [${rows}, ${channels}] with scale ${scale}`,
    inputs: { a: trainable(normal([rows, channels])), b: trainable(normal([rows, channels])) },
    build: (graph, { a, b }) => [add(graph, a, b, scale)],
    forward: ({ a, b }) => [sums.add(a, b, scale)],
    backward: (_, dy) => {
      const { da, db } = sums.addBackward(dy, scale);
      return { a: da, b: db };
    },
  });
}

/** The same tensor on both sides. */
const doubled: OpCase = opCase({
  name: 'a tensor minus three times itself',
  inputs: { x: trainable(normal([7, 20])) },
  build: (graph, { x }) => [add(graph, x, x, -3)],
  forward: ({ x }) => [sums.add(x, x, -3)],
  backward: (_, dy) => ({ x: sums.add(dy, dy, -3) }),
});

function addBiasCase(rows: number, channels: number): OpCase {
  return opCase({
    name: `addBias [${rows}, ${channels}]`,
    inputs: { x: trainable(normal([rows, channels])), bias: trainable(normal([channels])) },
    build: (graph, { x, bias }) => [addBias(graph, x, bias)],
    forward: ({ x, bias }) => [sums.addBias(x, bias)],
    backward: (_, dy) => {
      const { dx, dbias } = sums.addBiasBackward(dy, channels);
      return { x: dx, bias: dbias };
    },
  });
}

function dropoutCase(rows: number, channels: number, probability: number, seed: number, stream: number): OpCase {
  return opCase({
    name: `dropout ${probability} of [${rows}, ${channels}], seed ${seed}, stream ${stream}`,
    inputs: { x: trainable(normal([rows, channels])), seed: given([seed]) },
    build: (graph, { x, seed }) => [dropout(graph, x, seed, { probability, stream })],
    forward: ({ x }) => [dropoutReference(x, seed, stream, probability)],
    backward: (_, dy) => ({ x: dropoutReference(dy, seed, stream, probability) }),
  });
}

/** The last rows of a matrix get the last rows of its mask. */
function offsetCase(rows: number, channels: number, first: number): OpCase {
  const [probability, seed, stream] = [0.3, 42, 5];
  const whole = (x: Values) => Float64Array.from({ length: rows * channels }, (_, i) => x[i - first * channels] ?? 0);
  const masked = (x: Values) => dropoutReference(whole(x), seed, stream, probability).slice(first * channels);
  return opCase({
    name: `dropout of the rows from ${first} of [${rows}, ${channels}]`,
    inputs: { x: trainable(normal([rows - first, channels])), seed: given([seed]) },
    build: (graph, { x, seed }) => [dropout(graph, x, seed, { probability, stream, offset: first * channels })],
    forward: ({ x }) => [masked(x)],
    backward: (_, dy) => ({ x: masked(dy) }),
  });
}

/** The other path's gradient is folded into the mask's kernel. */
const maskedBesideSkip: OpCase = opCase({
  name: 'dropout beside a gate [7, 37]',
  inputs: { x: trainable(normal([7, 37])), seed: given([9]) },
  build: (graph, { x, seed }) => {
    const masked = dropout(graph, x, seed, { probability: 0.5, stream: 2 });
    return [add(graph, masked, swiglu(graph, x, x))];
  },
  forward: ({ x, seed }) => [sums.add(dropoutReference(x, seed[0]!, 2, 0.5), gated.swiglu(x, x), 1)],
  backward: ({ x, seed }, dy) => {
    const { dgate, dup } = gated.swigluBackward(x, x, dy);
    return { x: sums.add(sums.add(dgate, dup, 1), dropoutReference(dy, seed[0]!, 2, 0.5), 1) };
  },
});

const accumulateCase: OpCase = opCase({
  name: 'accumulate [7, 37], twice',
  inputs: { x: normal([7, 37]), total: normal([7, 37]) },
  build: (graph, { x, total }) => {
    accumulate(graph, x, total);
    accumulate(graph, x, total);
    return [total];
  },
  forward: ({ x, total }) => [sums.add(total, x, 2)],
});

export const pointwiseCases: readonly OpCase[] = [
  rmsNormCase(7, 20),
  rmsNormCase(65, 130),
  rmsNormCase(3, 65, { scale: 1e-3 }), // eps weighs as much as the squares
  rmsNormCase(7, 20, { offset: 1 }),
  rmsNormCase(5, 37, { offset: 1 }),
  rmsNormCase(7, 60, { heads: 3 }),
  rmsNormCase(33, 130, { heads: 2, offset: 1 }),
  residualNormCase(7, 37),
  residualNormCase(33, 65),
  gluCase('silu', 7, 20),
  gluCase('silu', 33, 65, 30), // where exp overflows in f32
  gluCase('gelu_tanh', 7, 20),
  gluCase('gelu_tanh', 33, 65, 30),
  fusedGluCase('silu', 7, 20),
  fusedGluCase('gelu_tanh', 33, 13),
  fusedGluCase('silu', 5, 12, true),
  addCase(7, 37, 1),
  addCase(7, 37, -1),
  addCase(33, 65, 0.75),
  doubled,
  addBiasCase(7, 20),
  addBiasCase(33, 65),
  dropoutCase(7, 20, 0.25, 0xfffffff0, 3),
  dropoutCase(33, 65, 0.1, 42, 0),
  offsetCase(7, 20, 3),
  maskedBesideSkip,
  accumulateCase,
];
