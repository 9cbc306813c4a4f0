import { linearBackward, matmul } from './matmul';
import { softcap, softcapBackward } from './softcap';
import type { Values } from './values';

/** Log-softmax of every row of logits[N, V]. */
function logSoftmax(logits: Values, V: number): Float64Array {
  const result = new Float64Array(logits.length);
  for (let first = 0; first < logits.length; first += V) {
    let largest = -Infinity;
    for (let v = 0; v < V; v++) largest = Math.max(largest, logits[first + v]!);
    let total = 0;
    for (let v = 0; v < V; v++) total += Math.exp(logits[first + v]! - largest);
    for (let v = 0; v < V; v++) result[first + v] = logits[first + v]! - largest - Math.log(total);
  }
  return result;
}

export interface HeadShape {
  readonly rows: number;
  readonly channels: number;
  readonly vocab: number;
  readonly softcap?: number | undefined;
}

function logitsOf(hidden: Values, w: Values, { rows, channels, vocab }: HeadShape): Float64Array {
  return matmul(hidden, w, { m: rows, n: vocab, k: channels, transposeB: true });
}

/** Log-probabilities of targets[N, K], 0 where negative, and the entropy of each row that has one. */
export function logProbs(
  hidden: Values,
  w: Values,
  targets: Values,
  shape: HeadShape,
): { logProbs: Float64Array; entropy: Float64Array } {
  const { rows, vocab } = shape;
  const perRow = targets.length / rows;
  const all = logSoftmax(softcap(logitsOf(hidden, w, shape), shape.softcap), vocab);
  const chosen = Float64Array.from(targets, (target, i) =>
    target < 0 ? 0 : all[Math.floor(i / perRow) * vocab + target]!,
  );
  const entropy = Float64Array.from({ length: rows }, (_, row) =>
    Array.from({ length: perRow }, (_, k) => targets[row * perRow + k]!).every((target) => target < 0)
      ? 0
      : all.subarray(row * vocab, (row + 1) * vocab).reduce((sum, value) => sum - value * Math.exp(value), 0),
  );
  return { logProbs: chosen, entropy };
}

export function logProbsBackward(
  hidden: Values,
  w: Values,
  targets: Values,
  dy: Values,
  shape: HeadShape,
): { dHidden: Float64Array; dW: Float64Array } {
  const { rows, channels, vocab } = shape;
  const perRow = targets.length / rows;
  const logits = logitsOf(hidden, w, shape);
  const all = logSoftmax(softcap(logits, shape.softcap), vocab);
  const dlogits = new Float64Array(logits.length);
  for (let i = 0; i < targets.length; i++) {
    if (targets[i]! < 0) continue;
    const first = Math.floor(i / perRow) * vocab;
    for (let v = 0; v < vocab; v++) {
      dlogits[first + v]! += dy[i]! * ((v === targets[i] ? 1 : 0) - Math.exp(all[first + v]!));
    }
  }
  const through = softcapBackward(logits, shape.softcap, dlogits);
  const { dx, dw } = linearBackward(hidden, w, through, { m: rows, n: vocab, k: channels });
  return { dHidden: dx, dW: dw };
}
