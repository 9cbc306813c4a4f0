import { crossEntropy, crossEntropyBackward } from './cross_entropy';
import { linearBackward, matmul } from './matmul';
import { softcap, softcapBackward } from './softcap';
import type { Values } from './values';

const sizesOf = (hidden: Values, w: Values, labels: Values) => {
  const k = hidden.length / labels.length;
  return { m: labels.length, n: w.length / k, k, transposeB: true };
};

/** Cross entropy of the logits hidden[N, C] · W[V, C]ᵀ, capped if there is a cap, all of them at once. */
export function headLoss(hidden: Values, w: Values, labels: Values, cap?: number): number {
  return crossEntropy(softcap(matmul(hidden, w, sizesOf(hidden, w, labels)), cap), labels);
}

export function headLossBackward(
  hidden: Values,
  w: Values,
  labels: Values,
  dloss: number,
  cap?: number,
): { dHidden: Float64Array; dW: Float64Array } {
  const sizes = sizesOf(hidden, w, labels);
  const logits = matmul(hidden, w, sizes);
  const dlogits = crossEntropyBackward(softcap(logits, cap), labels, dloss);
  const { dx, dw } = linearBackward(hidden, w, softcapBackward(logits, cap, dlogits), sizes);
  return { dHidden: dx, dW: dw };
}
