/** The loss, the gradient norm and the optimiser. */
import { dynamicMap } from '../../../../src/core/dynamic-map';
import type { WeightDType } from '../../../../src/core/dtypes';
import type { Tensor } from '../../../../src/engine/graph/graph';
import { headLoss, headLossGradients } from '../../../../src/engine/ops/head_loss';
import { adamw8bitOp, adamwOp, globalNorm } from '../../../../src/engine/ops/optimizer';
import { softcap } from '../../../../src/engine/ops/softcap';
import * as head from '../../../reference/head_loss';
import * as optimizer from '../../../reference/optimizer';
import * as caps from '../../../reference/softcap';
import type { Values } from '../../../reference/values';
import type { LeafInput } from '../../../support/graph-runner';
import { given, integers, normal, opCase, rowsWithTargets, trainable, type OpCase } from './types';

const IGNORED = -100;

/** Labels of which every third is masked. */
function someLabels(rows: number, vocab: number): number[] {
  return Array.from(integers(rows, vocab, 'i32').values, (label, row) => (row % 3 === 1 ? IGNORED : label));
}

interface HeadSizes {
  readonly rows: number;
  readonly channels: number;
  /** Rows of each part of the table. */
  readonly parts: readonly number[];
  /** A table of f32 is trained. */
  readonly dtype?: WeightDType;
  /** Of the hidden states; large ones make the model sure of itself, rightly or wrongly. */
  readonly scale?: number;
  readonly softcap?: number;
  /** Defaults to some, of which every third is masked. */
  readonly labels?: readonly number[];
}

/** The loss alone, the loss beside its gradients, and those. What a trained table's gradients are added to is not 0. */
function headLossCase({ rows, channels, parts, dtype = 'f32', scale = 1, softcap, labels }: HeadSizes): OpCase {
  const vocab = parts.reduce((sum, part) => sum + part, 0);
  const labelled = labels ?? someLabels(rows, vocab);
  const table = (kind: string) => parts.map((_, i) => `${kind}${i}`);
  const trained = dtype === 'f32';
  const many = (kind: string, type: WeightDType) =>
    Object.fromEntries(table(kind).map((name, i) => [name, normal([parts[i]!, channels], 1, type)]));
  const inputs: Record<string, LeafInput> = {
    hidden: normal([rows, channels], scale),
    labels: given(labelled, 'i32'),
    rows: rowsWithTargets(labelled),
    dLoss: given([Math.fround(0.3)], 'f32'),
    ...many('w', dtype),
    ...(trained ? many('total', 'f32') : {}),
  };
  return opCase({
    name: `headLoss ${dtype} [${rows}, ${channels}] to ${parts.join(' and ')}${scale === 1 ? '' : `, hidden × ${scale}`}${softcap ? `, capped at ${softcap}` : ''}`,
    inputs,
    build: (graph, leaves) => {
      const { hidden, labels, rows, dLoss } = leaves as Record<'hidden' | 'labels' | 'rows' | 'dLoss', Tensor>;
      const w = table('w').map((name) => leaves[name]!);
      const totals = trained ? table('total').map((name) => leaves[name]!) : [];
      const { loss, dHidden } = headLossGradients(graph, hidden, w, { labels, rows }, dLoss, totals, { softcap });
      return [headLoss(graph, hidden, w, { labels, rows }, { softcap }), loss, dHidden, ...totals];
    },
    forward: (values) => {
      const { hidden, labels, dLoss } = values as Record<'hidden' | 'labels' | 'dLoss', Values>;
      const w = Float64Array.from(table('w').flatMap((name) => Array.from(values[name]!)));
      const loss = Float64Array.of(head.headLoss(hidden, w, labels, softcap));
      const { dHidden, dW } = head.headLossBackward(hidden, w, labels, dLoss[0]!, softcap);
      if (!trained) return [loss, loss, dHidden];
      let start = 0;
      const totals = table('total').map((name) => Array.from(values[name]!, (value) => value + dW[start++]!));
      return [loss, loss, dHidden, ...totals];
    },
  });
}

/** For the reference's own gradients: the op's are no matter of autodiff. */
export const headLossReferences: readonly OpCase[] = [undefined, 4].map((softcap) =>
  opCase({
    name: `headLoss [7, 20] to 37, cap ${softcap}`,
    inputs: {
      hidden: trainable(normal([7, 20])),
      w: trainable(normal([37, 20])),
      labels: given(someLabels(7, 37), 'i32'),
      rows: rowsWithTargets(someLabels(7, 37)),
    },
    build: (graph, { hidden, w, labels, rows }) => [headLoss(graph, hidden, [w], { labels, rows }, { softcap })],
    forward: ({ hidden, w, labels }) => [Float64Array.of(head.headLoss(hidden, w, labels, softcap))],
    backward: ({ hidden, w, labels }, dy) => {
      const { dHidden, dW } = head.headLossBackward(hidden, w, labels, dy[0]!, softcap);
      return { hidden: dHidden, w: dW };
    },
  }),
);

/** Logits as they are handed out. */
function softcapCase(rows: number, vocab: number, cap: number, scale: number): OpCase {
  return opCase({
    name: `softcap ${cap} of [${rows}, ${vocab}] of size ${scale}`,
    inputs: { x: normal([rows, vocab], scale) },
    build: (graph, { x }) => [softcap(graph, x, cap)],
    forward: ({ x }) => [caps.softcap(x, cap)],
  });
}

const normCase: OpCase = opCase({
  name: 'globalNorm of [7, 20], [3] and [131, 130]',
  inputs: { a: normal([7, 20]), b: normal([3]), c: normal([131, 130]) },
  build: (graph, { a, b, c }) => [globalNorm(graph, [a, b, c])],
  forward: ({ a, b, c }) => [Float64Array.of(optimizer.globalNorm([a, b, c]))],
});

/** A step of a run under way whose gradients are of that size; a large learning rate, so that the update shows. */
function adamwCase(
  size: number,
  norm: number,
  maxNorm: number,
  weightDecay: number,
  step: number,
  lossValue = 2,
): OpCase {
  const count = 131;
  const attrs = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay, maxNorm };
  const learningRate = Math.fround(0.3);
  const schedule = [learningRate, 1 - attrs.beta1 ** step, Math.sqrt(1 - attrs.beta2 ** step)];
  const squares = normal([count], size);
  return opCase({
    name: `adamw, gradients of size ${size}, norm ${norm} clipped at ${maxNorm}, decay ${weightDecay}, step ${step}, loss ${lossValue}`,
    inputs: {
      gradient: normal([count], size),
      norm: given([norm], 'f32'),
      loss: given([lossValue], 'f32'),
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

/** Nothing may change where the loss or the norm is not finite, whatever the bits that say so. */
function divergedCase(norm: number, lossValue: number): OpCase {
  const attrs = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1, maxNorm: 1 };
  return opCase({
    name: `adamw with loss ${lossValue} and norm ${norm}, as bits`,
    inputs: {
      gradient: normal([37]),
      norm: given([norm]),
      loss: given([lossValue]),
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

/** The largest number of f32, and numbers as bits: 1; infinity and minus infinity; NaN, quiet and not, of either sign. */
const LARGEST = (2 - 2 ** -23) * 2 ** 127;
const ONE = 0x3f800000;
const NOT_FINITE = [0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 0xffc00000, 0xffffffff];

export const lossCases: readonly OpCase[] = [
  headLossCase({ rows: 7, channels: 20, parts: [37] }),
  headLossCase({ rows: 65, channels: 33, parts: [130] }),
  headLossCase({ rows: 68, channels: 64, parts: [64, 128, 44] }),
  headLossCase({ rows: 7, channels: 20, parts: [64, 66], scale: 7 }),
  headLossCase({ rows: 33, channels: 20, parts: [130], scale: 30 }), // exponentials of some logits overflow in f32
  headLossCase({ rows: 5, channels: 20, parts: [37], labels: [-100, -100, -100, -100, -100] }),
  headLossCase({ rows: 70, channels: 8, parts: [5000, 65001] }), // rows in two chunks, in slices that are not whole
  headLossCase({ rows: 72, channels: 12, parts: [66000, 4096], dtype: 'bf16' }),
  ...(['f16', 'bf16', 'q8'] as const).map((dtype) => headLossCase({ rows: 9, channels: 32, parts: [64, 36], dtype })),
  headLossCase({ rows: 68, channels: 64, parts: [64, 128, 44], softcap: 30 }),
  headLossCase({ rows: 7, channels: 20, parts: [64, 66], scale: 7, softcap: 10 }), // from linear to all but flat
  headLossCase({ rows: 33, channels: 20, parts: [130], scale: 300, softcap: 20 }), // where exp(2 x) overflows
  headLossCase({ rows: 9, channels: 32, parts: [64, 36], dtype: 'q8', softcap: 30 }),
  softcapCase(7, 37, 30, 1),
  softcapCase(33, 65, 30, 40),
  softcapCase(5, 9, 0.5, 1000),
  normCase,
  adamwCase(0.1, 5, 1, 0.01, 1),
  adamwCase(0.1, 0.5, 1, 0, 7),
  adamwCase(10, 5, 0, 0.1, 1000),
  adamwCase(1e-7, 0.5, 1, 0, 1000), // where epsilon weighs as much as the second moment
  adamw8bitCase(5, 1, 0.1),
  adamw8bitCase(0.5, 0, 0),
  adamw8bitCase(Infinity, 1, 0),
  adamwCase(0.1, 5, 1, 0.01, 1, LARGEST),
  ...NOT_FINITE.flatMap((bits) => [divergedCase(bits, ONE), divergedCase(ONE, bits)]),
];
