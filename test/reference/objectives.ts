import type { Values } from './values';

/** Sums, or means, of x[B, T] over the rows with a label, by sequence. */
export function sequenceSums(x: Values, labels: Values, length: number, mean: boolean): Float64Array {
  return Float64Array.from({ length: x.length / length }, (_, sequence) => {
    let [sum, count] = [0, 0];
    for (let i = sequence * length; i < (sequence + 1) * length; i++) {
      if (labels[i]! < 0) continue;
      sum += x[i]!;
      count++;
    }
    return mean ? sum / Math.max(1, count) : sum;
  });
}

export function sequenceSumsBackward(labels: Values, dy: Values, length: number, mean: boolean): Float64Array {
  const counts = sequenceSums(
    Float64Array.from(labels, () => 1),
    labels,
    length,
    false,
  );
  return Float64Array.from(labels, (label, i) => {
    const sequence = Math.floor(i / length);
    return label < 0 ? 0 : dy[sequence]! / (mean ? Math.max(1, counts[sequence]!) : 1);
  });
}

/** −log σ(x), which doesn't overflow. */
const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** DPO's loss, and the weighted sums of rewards, accuracies, margins and log-probabilities. */
export function dpo(
  logProbs: Values,
  reference: Values,
  weights: Values,
  beta: number,
): { loss: number; metrics: Float64Array } {
  let loss = 0;
  const metrics = new Float64Array(6);
  for (let pair = 0; pair < weights.length; pair++) {
    const [chosen, rejected] = [2 * pair, 2 * pair + 1].map((i) => beta * (logProbs[i]! - reference[i]!)) as [
      number,
      number,
    ];
    loss += weights[pair]! * softplus(rejected - chosen);
    const logged = [chosen, rejected, chosen > rejected ? 1 : 0, chosen - rejected];
    [...logged, logProbs[2 * pair]!, logProbs[2 * pair + 1]!].forEach(
      (value, i) => (metrics[i]! += weights[pair]! * value),
    );
  }
  return { loss, metrics };
}

export function dpoBackward(
  logProbs: Values,
  reference: Values,
  weights: Values,
  beta: number,
  dLoss: number,
): Float64Array {
  return Float64Array.from(logProbs, (_, i) => {
    const pair = Math.floor(i / 2);
    const [chosen, rejected] = [2 * pair, 2 * pair + 1].map((k) => beta * (logProbs[k]! - reference[k]!)) as [
      number,
      number,
    ];
    const slope = -dLoss * weights[pair]! * beta * sigmoid(rejected - chosen);
    return i % 2 === 0 ? slope : -slope;
  });
}
