/** The loss, the gradient norm and the optimiser. */
import { dynamicMap } from '../../../../src/core/dynamic-map';
import { crossEntropy } from '../../../../src/engine/ops/cross_entropy';
import { adamw8bitOp, adamwOp, globalNorm } from '../../../../src/engine/ops/optimizer';
import * as loss from '../../../reference/cross_entropy';
import * as optimizer from '../../../reference/optimizer';
import { given, integers, normal, opCase, trainable, type OpCase } from './types';

const IGNORED = -100;

/** Every third row has no label. `scale` makes the model sure of itself, rightly or wrongly. */
function crossEntropyCase(rows: number, vocab: number, scale = 1): OpCase {
  const labels = Array.from(integers(rows, vocab, 'i32').values, (label, row) => (row % 3 === 1 ? IGNORED : label));
  return opCase({
    name: `crossEntropy [${rows}, ${vocab}]${scale === 1 ? '' : `, logits × ${scale}`}`,
    inputs: { logits: trainable(normal([rows, vocab], scale)), labels: given(labels, 'i32') },
    build: (graph, { logits, labels }) => [crossEntropy(graph, logits, labels)],
    forward: ({ logits, labels }) => [Float64Array.of(loss.crossEntropy(logits, labels))],
    backward: ({ logits, labels }, dy) => ({ logits: loss.crossEntropyBackward(logits, labels, dy[0]!) }),
  });
}

/** One logit of every row leads by `margin`: of the label in even rows, of a wrong token in odd ones. */
function leadCase(rows: number, vocab: number, margin: number): OpCase {
  const leaders = Array.from(integers(rows, vocab, 'i32').values);
  const { values, ...logits } = normal([rows, vocab]);
  const lead = (i: number) => (leaders[Math.floor(i / vocab)] === i % vocab ? margin : 0);
  return opCase({
    name: `crossEntropy [${rows}, ${vocab}], one logit ahead by ${margin}`,
    inputs: {
      logits: trainable({ ...logits, values: Float32Array.from(values, (value, i) => value + lead(i)) }),
      labels: given(
        leaders.map((token, row) => (row % 2 === 0 ? token : (token + 1) % vocab)),
        'i32',
      ),
    },
    build: (graph, { logits, labels }) => [crossEntropy(graph, logits, labels)],
    forward: ({ logits, labels }) => [Float64Array.of(loss.crossEntropy(logits, labels))],
    backward: ({ logits, labels }, dy) => ({ logits: loss.crossEntropyBackward(logits, labels, dy[0]!) }),
  });
}

const normCase: OpCase = opCase({
  name: 'globalNorm of [7, 20], [3] and [131, 130]',
  inputs: { a: normal([7, 20]), b: normal([3]), c: normal([131, 130]) },
  build: (graph, { a, b, c }) => [globalNorm(graph, [a, b, c])],
  forward: ({ a, b, c }) => [Float64Array.of(optimizer.globalNorm([a, b, c]))],
});

/** A step of a run under way whose gradients are of that size; a large learning rate, so that the update shows. */
function adamwCase(size: number, norm: number, maxNorm: number, weightDecay: number, step: number): OpCase {
  const count = 131;
  const attrs = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay, maxNorm };
  const learningRate = Math.fround(0.3);
  const schedule = [learningRate, 1 - attrs.beta1 ** step, Math.sqrt(1 - attrs.beta2 ** step)];
  const squares = normal([count], size);
  return opCase({
    name: `adamw, gradients of size ${size}, norm ${norm} clipped at ${maxNorm}, decay ${weightDecay}, step ${step}`,
    inputs: {
      gradient: normal([count], size),
      norm: given([norm], 'f32'),
      loss: given([2], 'f32'),
      schedule: given(schedule, 'f32'),
      parameter: normal([count]),
      expAvg: normal([count], size / 2),
      expAvgSq: { ...squares, values: Float32Array.from(squares.values, (value) => value * value) },
    },
    build: (graph, { gradient, norm, loss, schedule, parameter, expAvg, expAvgSq }) => {
      graph.apply(adamwOp, [gradient, norm, loss, schedule, parameter, expAvg, expAvgSq], attrs);
      return [parameter, expAvg, expAvgSq];
    },
    forward: ({ gradient, parameter, expAvg, expAvgSq }) => {
      const step1 = { ...attrs, learningRate, step };
      const after = optimizer.adamw(gradient, norm, parameter, expAvg, expAvgSq, step1);
      return [after.parameter, after.expAvg, after.expAvgSq];
    },
  });
}

/** Nothing may change where the loss or the norm is not finite. */
function divergedCase(norm: number, lossValue: number): OpCase {
  const attrs = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1, maxNorm: 1 };
  return opCase({
    name: `adamw with loss ${lossValue} and norm ${norm}`,
    inputs: {
      gradient: normal([37]),
      norm: given([norm], 'f32'),
      loss: given([lossValue], 'f32'),
      schedule: given([1, 0.1, 0.03], 'f32'),
      parameter: normal([37]),
      expAvg: normal([37]),
      expAvgSq: given(
        Array.from({ length: 37 }, (_, i) => i),
        'f32',
      ),
    },
    build: (graph, { gradient, norm, loss, schedule, parameter, expAvg, expAvgSq }) => {
      graph.apply(adamwOp, [gradient, norm, loss, schedule, parameter, expAvg, expAvgSq], attrs);
      return [parameter, expAvg, expAvgSq];
    },
    forward: ({ parameter, expAvg, expAvgSq }) => [parameter, expAvg, expAvgSq],
  });
}

/** A block of moments under way, and one of zeros: what is left of them shows in the scales. */
function adamw8bitCase(norm: number, maxNorm: number, weightDecay: number): OpCase {
  const [blocks, size, step] = [2, 256, 5];
  const attrs = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay, maxNorm };
  const learningRate = Math.fround(0.3);
  const maps = { signed: dynamicMap(true), unsigned: dynamicMap(false) };
  const words = Array.from(integers((2 * blocks * size) / 4, 2 ** 32).values);
  const codes = new Uint8Array(Uint32Array.from(words).buffer);
  const scales = [0.02, 0, 0.003, 0];
  return opCase({
    name: `adamw8bit, norm ${norm} clipped at ${maxNorm}, decay ${weightDecay}`,
    inputs: {
      gradient: normal([blocks * size], 0.1),
      norm: given([norm], 'f32'),
      loss: given([2], 'f32'),
      schedule: given([learningRate, 1 - attrs.beta1 ** step, Math.sqrt(1 - attrs.beta2 ** step)], 'f32'),
      maps: given([...maps.signed, ...maps.unsigned], 'f32'),
      parameter: normal([blocks * size]),
      codes: given(words),
      absmax: given(scales, 'f32'),
    },
    build: (graph, { gradient, norm, loss, schedule, maps, parameter, codes, absmax }) => {
      graph.apply(adamw8bitOp, [gradient, norm, loss, schedule, maps, parameter, codes, absmax], attrs);
      return [parameter, absmax];
    },
    forward: ({ gradient, parameter, absmax }) => {
      if (!Number.isFinite(norm)) return [parameter, absmax];
      const after = Array.from({ length: blocks }, (_, block) => {
        const range = (values: ArrayLike<number>, start = 0) =>
          Array.from(values).slice(start + block * size, start + (block + 1) * size);
        const coded = (half: number) => {
          const codesOf = Uint8Array.from(range(codes, half * blocks * size));
          return { codes: codesOf, absmax: absmax[half * blocks + block]! };
        };
        const options = { ...attrs, learningRate, step };
        return optimizer.adamw8bit(range(gradient), norm, range(parameter), coded(0), coded(1), maps, options);
      });
      return [
        after.flatMap(({ parameter }) => [...parameter]),
        [...after.map(({ first }) => first.absmax), ...after.map(({ second }) => second.absmax)],
      ];
    },
  });
}

export const lossCases: readonly OpCase[] = [
  crossEntropyCase(7, 37),
  crossEntropyCase(65, 130),
  crossEntropyCase(7, 130, 30),
  leadCase(7, 37, 6),
  leadCase(33, 130, 100), // its exponential overflows in f32
  normCase,
  adamwCase(0.1, 5, 1, 0.01, 1),
  adamwCase(0.1, 0.5, 1, 0, 7),
  adamwCase(10, 5, 0, 0.1, 1000),
  adamwCase(1e-7, 0.5, 1, 0, 1000), // where epsilon weighs as much as the second moment
  adamw8bitCase(5, 1, 0.1),
  adamw8bitCase(0.5, 0, 0),
  adamw8bitCase(Infinity, 1, 0),
  divergedCase(Infinity, 2),
  divergedCase(NaN, 2),
  divergedCase(1, NaN),
  divergedCase(1, -Infinity),
];
