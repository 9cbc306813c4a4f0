/** Tokens that have rows of their own in the place of a table's: in the embedding, the head's loss and log-probabilities. */
import type { WeightDType } from '../../../../src/core/dtypes';
import type { Tensor } from '../../../../src/engine/graph/graph';
import { embedding } from '../../../../src/engine/ops/embedding';
import { headLoss, headLossGradients } from '../../../../src/engine/ops/head_loss';
import { logProbs } from '../../../../src/engine/ops/log_probs';
import { linear } from '../../../../src/engine/ops/matmul';
import { replaceLogits } from '../../../../src/engine/ops/token_rows';
import * as lookup from '../../../reference/embedding';
import * as head from '../../../reference/head_loss';
import * as scores from '../../../reference/log_probs';
import { matmul } from '../../../reference/matmul';
import type { Values } from '../../../reference/values';
import { given, integers, normal, opCase, rowsWithTargets, trainable, type OpCase } from './types';

interface Sizes {
  readonly rows: number;
  readonly channels: number;
  /** Rows of each part of the table. */
  readonly parts: readonly number[];
  readonly tokens: readonly number[];
  readonly dtype?: WeightDType;
  readonly softcap?: number;
}

type Named = Record<string, Values>;

const vocabOf = ({ parts }: Sizes) => parts.reduce((sum, part) => sum + part, 0);

const named = ({ rows, channels, parts, tokens, dtype = 'f32', softcap }: Sizes) =>
  `${dtype} [${rows}, ${channels}] with ${parts.join(' + ')} tokens, ${tokens.length} of them in rows of their own${softcap ? `, capped at ${softcap}` : ''}`;

const tables = ({ parts, channels, dtype = 'f32' }: Sizes) =>
  Object.fromEntries(parts.map((part, i) => [`w${i}`, normal([part, channels], 1, dtype)]));

const partsOf = ({ parts }: Sizes, leaves: Record<string, Tensor>) => parts.map((_, i) => leaves[`w${i}`]!);

/** The whole table as the reference sees it: with the rows in their places. */
function tableOf({ parts, channels, tokens }: Sizes, values: Named): Float64Array {
  const table = Float64Array.from(parts.flatMap((_, i) => Array.from(values[`w${i}`]!)));
  const own = Float64Array.from(values['own']!);
  tokens.forEach((id, i) => table.set(own.subarray(i * channels, (i + 1) * channels), id * channels));
  return table;
}

/** Of the gradient of a whole table, those of the tokens. */
function rowsOf({ channels, tokens }: Sizes, dTable: Float64Array): Float64Array {
  return Float64Array.from(tokens.flatMap((id) => [...dTable.subarray(id * channels, (id + 1) * channels)]));
}

const plus = (total: Values, gradient: Values) => Float64Array.from(total, (value, i) => value + gradient[i]!);

function embeddingCase(sizes: Sizes, scale = 1): OpCase {
  const { rows, channels, tokens } = sizes;
  const ids = integers(rows, vocabOf(sizes));
  const wanted = Array.from(ids.values, (id, i) => (i % 2 === 0 ? tokens[i % tokens.length]! : id));
  return opCase<string>({
    name: `embedding ${named(sizes)}${scale === 1 ? '' : ` × ${scale}`}`,
    inputs: {
      ids: given(wanted),
      ...tables(sizes),
      tokens: given(tokens),
      own: trainable(normal([tokens.length, channels])),
    },
    build: (graph, leaves) => {
      const own = { ids: leaves['tokens']!, rows: leaves['own']! };
      return [embedding(graph, leaves['ids']!, partsOf(sizes, leaves), scale, own)];
    },
    forward: (values) => [lookup.embedding(values['ids']!, tableOf(sizes, values), channels, scale)],
    backward: ({ ids }, dy) => {
      return { own: rowsOf(sizes, lookup.embeddingBackward(ids!, dy, vocabOf(sizes), channels, scale)) };
    },
  });
}

/** Labels of which every third is masked and some are of the tokens. */
function someLabels(rows: number, vocab: number, tokens: readonly number[]): number[] {
  const labels = Array.from(integers(rows, vocab, 'i32').values);
  return labels.map((label, row) => (row % 3 === 1 ? -100 : row % 3 === 2 ? tokens[row % tokens.length]! : label));
}

/** The loss alone, beside its gradients, and those; what the rows' gradient is added to is not 0. */
function headLossCase(sizes: Sizes): OpCase {
  const { rows, channels, tokens, softcap } = sizes;
  const labelled = someLabels(rows, vocabOf(sizes), tokens);
  return opCase<string>({
    name: `headLoss ${named(sizes)}`,
    inputs: {
      hidden: normal([rows, channels]),
      labels: given(labelled, 'i32'),
      rows: rowsWithTargets(labelled),
      dLoss: given([Math.fround(0.3)], 'f32'),
      ...tables(sizes),
      tokens: given(tokens),
      own: normal([tokens.length, channels]),
      total: normal([tokens.length, channels]),
    },
    build: (graph, leaves) => {
      const { hidden, labels, rows, dLoss, total } = leaves as Record<string, Tensor> & Record<'hidden', Tensor>;
      const table = partsOf(sizes, leaves);
      const targets = { labels: labels!, rows: rows! };
      const own = { ids: leaves['tokens']!, rows: leaves['own']! };
      const frozen = { softcap, tokens: own };
      const trained = { softcap, tokens: { ...own, dRows: total! } };
      const { loss, dHidden } = headLossGradients(graph, hidden, table, targets, dLoss!, [], trained);
      const unmoved = headLossGradients(graph, hidden, table, targets, dLoss!, [], frozen);
      return [headLoss(graph, hidden, table, targets, frozen), loss, dHidden, unmoved.dHidden, total!];
    },
    forward: (values) => {
      const { hidden, labels, dLoss, total } = values as Record<'hidden' | 'labels' | 'dLoss' | 'total', Values>;
      const table = tableOf(sizes, values);
      const loss = Float64Array.of(head.headLoss(hidden, table, labels, softcap));
      const { dHidden, dW } = head.headLossBackward(hidden, table, labels, dLoss[0]!, softcap);
      return [loss, loss, dHidden, dHidden, plus(total, rowsOf(sizes, dW))];
    },
  });
}

function logProbsCase(sizes: Sizes, perRow: number): OpCase {
  const { rows, channels, tokens, softcap } = sizes;
  const shape = { rows, channels, vocab: vocabOf(sizes), softcap };
  const chosen = someLabels(rows * perRow, shape.vocab, tokens);
  return opCase<string>({
    name: `logProbs of ${perRow}, ${named(sizes)}`,
    inputs: {
      hidden: trainable(normal([rows, channels])),
      targets: given(chosen, 'i32', [rows, perRow]),
      rows: rowsWithTargets(chosen, perRow),
      ...tables(sizes),
      tokens: given(tokens),
      own: normal([tokens.length, channels]),
      total: normal([tokens.length, channels]),
    },
    build: (graph, leaves) => {
      const wanted = { targets: leaves['targets']!, rows: leaves['rows']! };
      const own = { ids: leaves['tokens']!, rows: leaves['own']!, dRows: leaves['total']! };
      const options = { softcap, tokens: own };
      const found = logProbs(graph, leaves['hidden']!, partsOf(sizes, leaves), wanted, [], options);
      return [found.logProbs, found.entropy, leaves['total']!];
    },
    forward: (values) => {
      const [hidden, wanted, table] = [values['hidden']!, values['targets']!, tableOf(sizes, values)];
      const found = scores.logProbs(hidden, table, wanted, shape);
      if (!values['dy']) return [found.logProbs, found.entropy];
      const { dW } = scores.logProbsBackward(hidden, table, wanted, values['dy'], shape);
      return [found.logProbs, found.entropy, plus(values['total']!, rowsOf(sizes, dW))];
    },
    backward: (values, dy) => {
      const table = tableOf(sizes, values);
      return { hidden: scores.logProbsBackward(values['hidden']!, table, values['targets']!, dy, shape).dHidden };
    },
  });
}

function logitsCase(sizes: Sizes): OpCase {
  const { rows, channels, tokens } = sizes;
  return opCase<string>({
    name: `logits ${named(sizes)}`,
    inputs: {
      hidden: normal([rows, channels]),
      ...tables(sizes),
      tokens: given(tokens),
      own: normal([tokens.length, channels]),
    },
    build: (graph, leaves) => {
      const own = { ids: leaves['tokens']!, rows: leaves['own']! };
      const ofTable = linear(graph, leaves['hidden']!, leaves['w0']!);
      const kept = linear(graph, leaves['hidden']!, leaves['w0']!);
      // In the place of the table's, and apart where those are wanted too.
      return [
        replaceLogits(graph, ofTable, leaves['hidden']!, own),
        replaceLogits(graph, kept, leaves['hidden']!, own),
        kept,
      ];
    },
    forward: (values) => {
      const product = (table: Values) =>
        matmul(values['hidden']!, table, { m: rows, n: vocabOf(sizes), k: channels, transposeB: true });
      const replaced = product(tableOf(sizes, values));
      return [replaced, replaced, product(values['w0']!)];
    },
  });
}

export const tokenCases: readonly OpCase[] = [
  embeddingCase({ rows: 9, channels: 20, parts: [37], tokens: [36, 5, 0] }),
  embeddingCase({ rows: 70, channels: 33, parts: [64, 66], tokens: [63, 64, 129, 7] }, 4.5),
  embeddingCase({ rows: 9, channels: 32, parts: [64, 36], tokens: [99], dtype: 'q8' }),
  headLossCase({ rows: 7, channels: 20, parts: [37], tokens: [5] }),
  headLossCase({ rows: 68, channels: 64, parts: [64, 128, 44], tokens: [200, 63, 64, 0, 235] }),
  headLossCase({ rows: 9, channels: 32, parts: [64, 36], tokens: [99, 1], dtype: 'q8', softcap: 30 }),
  // Rows in two chunks, and as many tokens as channels.
  headLossCase({ rows: 70, channels: 8, parts: [5000, 65001], tokens: [1, 2, 3, 5000, 40000, 70000, 9, 8] }),
  logProbsCase({ rows: 7, channels: 20, parts: [37], tokens: [5, 36] }, 1),
  logProbsCase({ rows: 70, channels: 8, parts: [5000, 65001], tokens: [70000, 4999, 5000], softcap: 30 }, 3),
  logitsCase({ rows: 7, channels: 20, parts: [37], tokens: [36, 0, 5] }),
];
