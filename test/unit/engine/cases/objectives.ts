/** Log-probabilities of chosen tokens, and what objectives make of them. */
import type { WeightDType } from '../../../../src/core/dtypes';
import { distillLoss, type Divergence } from '../../../../src/engine/ops/distill_loss';
import { dot } from '../../../../src/engine/ops/dot';
import { dpoLoss } from '../../../../src/engine/ops/dpo_loss';
import { logProbs } from '../../../../src/engine/ops/log_probs';
import { sequenceSums } from '../../../../src/engine/ops/sequence_sums';
import * as head from '../../../reference/log_probs';
import * as reference from '../../../reference/objectives';
import type { Values } from '../../../reference/values';
import type { LeafInput } from '../../../support/graph-runner';
import { given, integers, normal, opCase, rowsWithTargets, trainable, type OpCase } from './types';

const IGNORED = -100;

interface HeadSizes {
  readonly rows: number;
  readonly channels: number;
  /** Rows of each part of the table. */
  readonly parts: readonly number[];
  /** Targets of a row; absent, there is one, in a vector. */
  readonly targets?: number;
  /** A table of f32 is trained. */
  readonly dtype?: WeightDType;
  readonly scale?: number;
  readonly softcap?: number;
}

/** Of the targets every third is none. What a trained table's gradients are added to is not 0. */
function logProbsCase({ rows, channels, parts, targets, dtype = 'f32', scale = 1, softcap }: HeadSizes): OpCase {
  const vocab = parts.reduce((sum, part) => sum + part, 0);
  const shape = { rows, channels, vocab, softcap };
  const names = (kind: string) => parts.map((_, i) => `${kind}${i}`);
  const isTrained = dtype === 'f32';
  const many = (kind: string, type: WeightDType): Record<string, LeafInput> =>
    Object.fromEntries(names(kind).map((name, i) => [name, normal([parts[i]!, channels], 1, type)]));
  const chosen = Array.from(integers(rows * (targets ?? 1), vocab, 'i32').values, (id, i) =>
    i % 3 === 1 ? IGNORED : id,
  );
  const joined = (values: Record<string, Values>) =>
    Float64Array.from(names('w').flatMap((name) => Array.from(values[name]!)));
  return opCase<string>({
    name: `logProbs ${dtype} [${rows}, ${channels}] to ${parts.join(' and ')}, ${targets ?? 'one'} of them${scale === 1 ? '' : `, hidden × ${scale}`}${softcap ? `, capped at ${softcap}` : ''}`,
    inputs: {
      hidden: trainable(normal([rows, channels], scale)),
      targets: given(chosen, 'i32', targets === undefined ? [rows] : [rows, targets]),
      rows: rowsWithTargets(chosen, targets),
      ...many('w', dtype),
      ...(isTrained ? many('total', 'f32') : {}),
    },
    build: (graph, leaves) => {
      const w = names('w').map((name) => leaves[name]!);
      const totals = isTrained ? names('total').map((name) => leaves[name]!) : [];
      const wanted = { targets: leaves['targets']!, rows: leaves['rows']! };
      const found = logProbs(graph, leaves['hidden']!, w, wanted, totals, { softcap });
      return [found.logProbs, found.entropy, ...totals];
    },
    forward: (values) => {
      const [hidden, wanted, w] = [values['hidden']!, values['targets']!, joined(values)];
      const found = head.logProbs(hidden, w, wanted, shape);
      if (!isTrained) return [found.logProbs, found.entropy];
      const { dW } = head.logProbsBackward(hidden, w, wanted, values['dy']!, shape);
      let start = 0;
      const totals = names('total').map((name) => Array.from(values[name]!, (value) => value + dW[start++]!));
      return [found.logProbs, found.entropy, ...totals];
    },
    backward: (values, dy) => {
      return {
        hidden: head.logProbsBackward(values['hidden']!, joined(values), values['targets']!, dy, shape).dHidden,
      };
    },
  });
}

function sequenceSumsCase(sequences: number, length: number, mean: boolean): OpCase {
  const labels = Array.from(
    { length: sequences * length },
    (_, i) => (i < length || i % 3 === 1 ? IGNORED : i), // the first sequence has none
  );
  return opCase({
    name: `${mean ? 'means' : 'sums'} of ${sequences} sequences of ${length}`,
    inputs: { x: trainable(normal([sequences * length])), labels: given(labels, 'i32') },
    build: (graph, { x, labels }) => [sequenceSums(graph, x, labels, { length, mean })],
    forward: ({ x, labels }) => [reference.sequenceSums(x, labels, length, mean)],
    backward: ({ labels }, dy) => ({ x: reference.sequenceSumsBackward(labels, dy, length, mean) }),
  });
}

/** Margins of about `beta` · `size`: sure and right, or sure and wrong, where that is large. */
function dpoCase(pairs: number, beta: number, size: number): OpCase {
  const weights = Array.from({ length: pairs }, (_, i) => (i % 5 === 4 ? 0 : Math.fround(1 / pairs)));
  return opCase({
    name: `dpoLoss of ${pairs} pairs, beta ${beta}, log-ratios of size ${size}`,
    inputs: {
      logProbs: trainable(normal([2 * pairs], size)),
      reference: normal([2 * pairs], size),
      weights: given(weights, 'f32'),
    },
    build: (graph, { logProbs, reference, weights }) => {
      const { loss, metrics } = dpoLoss(graph, logProbs, reference, weights, Math.fround(beta));
      return [loss, metrics];
    },
    forward: ({ logProbs, reference: ofReference, weights }) => {
      const { loss, metrics } = reference.dpo(logProbs, ofReference, weights, Math.fround(beta));
      return [Float64Array.of(loss), metrics];
    },
    backward: ({ logProbs, reference: ofReference, weights }, dy) => ({
      logProbs: reference.dpoBackward(logProbs, ofReference, weights, Math.fround(beta), dy[0]!),
    }),
  });
}

/**
 * Every third row has no token, and others fewer than K. Log-probabilities are of K + 4 tokens, the last four of which are
 * not among the targets; `scale` sharpens them.
 */
function distillCase(rows: number, perRow: number, scale: number, divergence: Divergence): OpCase {
  const logProbs = () => {
    const logits = Array.from(normal([rows * (perRow + 4)], scale).values);
    return Array.from({ length: rows }, (_, row) => {
      const own = logits.slice(row * (perRow + 4), (row + 1) * (perRow + 4));
      const lse = Math.log(own.reduce((total, logit) => total + Math.exp(logit), 0));
      return own.slice(0, perRow).map((logit) => Math.fround(logit - lse));
    }).flat();
  };
  const targets = Array.from({ length: rows * perRow }, (_, i) => {
    const row = Math.floor(i / perRow);
    return row % 3 === 2 || (row % 3 === 1 && i % perRow === perRow - 1) ? IGNORED : i;
  });
  const { beta, temperature, tail } = divergence;
  return opCase({
    name: `distillLoss of ${rows} rows of ${perRow}, logits × ${scale}, beta ${beta}, temperature ${temperature}${tail ? ', with a tail' : ''}`,
    inputs: {
      student: trainable(given(logProbs(), 'f32', [rows, perRow])),
      targets: given(targets, 'i32', [rows, perRow]),
      teacher: given(logProbs(), 'f32', [rows, perRow]),
    },
    build: (graph, { student, targets, teacher }) => [distillLoss(graph, student, targets, teacher, divergence)],
    forward: ({ student, targets, teacher }) => [
      Float64Array.of(reference.distill(student, targets, teacher, perRow, divergence).loss),
    ],
    backward: ({ student, targets, teacher }, dy) => ({
      student: reference.distill(student, targets, teacher, perRow, divergence).gradient.map((value) => value * dy[0]!),
    }),
  });
}

const sum = (values: Values) => Array.from(values).reduce((total, value) => total + value, 0);

function dotCase(shape: readonly number[], alpha: number): OpCase {
  return opCase({
    name: `dot of [${shape.join(', ')}] times ${alpha}`,
    inputs: { a: trainable(normal(shape)), b: trainable(normal(shape)) },
    build: (graph, { a, b }) => [dot(graph, a, b, alpha)],
    forward: ({ a, b }) => [Float64Array.of(alpha * sum(Float64Array.from(a, (value, i) => value * b[i]!)))],
    backward: ({ a, b }, dy) => ({
      a: Float64Array.from(b, (value) => alpha * dy[0]! * value),
      b: Float64Array.from(a, (value) => alpha * dy[0]! * value),
    }),
  });
}

export const objectiveCases: readonly OpCase[] = [
  logProbsCase({ rows: 7, channels: 20, parts: [37] }),
  logProbsCase({ rows: 65, channels: 33, parts: [130], targets: 1 }),
  logProbsCase({ rows: 68, channels: 64, parts: [64, 128, 44], targets: 3 }),
  logProbsCase({ rows: 9, channels: 20, parts: [130], targets: 70 }), // more than a workgroup has lanes, some twice
  logProbsCase({ rows: 33, channels: 20, parts: [130], scale: 30 }), // exponentials of some logits overflow in f32
  logProbsCase({ rows: 70, channels: 8, parts: [5000, 65001], targets: 2 }), // rows in two chunks, slices not whole
  ...(['f16', 'bf16', 'q8'] as const).map((dtype) =>
    logProbsCase({ rows: 9, channels: 32, parts: [64, 36], targets: 2, dtype }),
  ),
  logProbsCase({ rows: 7, channels: 20, parts: [64, 66], targets: 4, scale: 7, softcap: 10 }),
  sequenceSumsCase(3, 7, false),
  sequenceSumsCase(5, 130, true),
  dpoCase(1, 0.1, 1),
  dpoCase(7, 0.1, 30),
  dpoCase(130, 0.3, 200), // exp overflows
  ...[0, 0.3, 1].flatMap((beta) => [
    distillCase(7, 5, 1, { beta, temperature: 1, tail: false }),
    distillCase(70, 16, 3, { beta, temperature: 2, tail: false }),
    distillCase(70, 16, 1, { beta, temperature: 1, tail: true }),
  ]),
  distillCase(40, 3, 60, { beta: 0.5, temperature: 1, tail: false }), // probabilities of 0
  dotCase([7, 3], -1),
  dotCase([131], 0.5),
];
