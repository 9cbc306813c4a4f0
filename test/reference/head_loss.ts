import { crossEntropy, crossEntropyBackward } from './cross_entropy';
import { linearBackward, matmul } from './matmul';
import type { Values } from './values';

const sizesOf = (hidden: Values, w: Values, labels: Values) => {
  const k = hidden.length / labels.length;
  return { m: labels.length, n: w.length / k, k, transposeB: true };
};

/** Cross entropy of the logits hidden[N, C] · W[V, C]ᵀ, all of them at once. */
export function headLoss(hidden: Values, w: Values, labels: Values): number {
  return crossEntropy(matmul(hidden, w, sizesOf(hidden, w, labels)), labels);
}

export function headLossBackward(
  hidden: Values,
  w: Values,
  labels: Values,
  dloss: number,
): { dHidden: Float64Array; dW: Float64Array } {
  const sizes = sizesOf(hidden, w, labels);
  const dlogits = crossEntropyBackward(matmul(hidden, w, sizes), labels, dloss);
  const { dx, dw } = linearBackward(hidden, w, dlogits, sizes);
  return { dHidden: dx, dW: dw };
}
