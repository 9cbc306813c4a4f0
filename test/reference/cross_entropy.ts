import type { Values } from './values';

function logSumExp(logits: Values, row: number, V: number): number {
  let largest = -Infinity;
  for (let v = 0; v < V; v++) largest = Math.max(largest, logits[row * V + v]!);
  let total = 0;
  for (let v = 0; v < V; v++) total += Math.exp(logits[row * V + v]! - largest);
  return largest + Math.log(total);
}

/** Sum of −log softmax(logits[N, V])[label] over the rows with a label that is not negative. */
export function crossEntropy(logits: Values, labels: Values): number {
  const V = logits.length / labels.length;
  let loss = 0;
  for (let row = 0; row < labels.length; row++) {
    if (labels[row]! >= 0) loss += logSumExp(logits, row, V) - logits[row * V + labels[row]!]!;
  }
  return loss;
}

/** dlogits = (softmax − onehot(label)) · dloss in rows with a label, 0 in the others. */
export function crossEntropyBackward(logits: Values, labels: Values, dloss: number): Float64Array {
  const V = logits.length / labels.length;
  const dlogits = new Float64Array(logits.length);
  for (let row = 0; row < labels.length; row++) {
    if (labels[row]! < 0) continue;
    const lse = logSumExp(logits, row, V);
    for (let v = 0; v < V; v++) {
      const hit = v === labels[row] ? 1 : 0;
      dlogits[row * V + v] = (Math.exp(logits[row * V + v]! - lse) - hit) * dloss;
    }
  }
  return dlogits;
}
