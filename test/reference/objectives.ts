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

interface Divergence {
  readonly beta: number;
  readonly temperature: number;
  readonly tail: boolean;
}

/** What one row's divergence is made of: probabilities of its tokens, of what is left too where there is a tail. */
function classes(values: readonly number[], { temperature, tail }: Divergence): number[] {
  const probabilities = values.map((value) => Math.exp(value / temperature));
  const sum = probabilities.reduce((total, value) => total + value, 0);
  return tail ? [...probabilities, 1 - sum] : probabilities.map((value) => value / sum);
}

function divergence(student: readonly number[], teacher: readonly number[], options: Divergence): number {
  const [p, q] = [classes(teacher, options), classes(student, options)];
  const { beta } = options;
  const kl = (a: readonly number[], b: readonly number[]) =>
    a.reduce((total, value, i) => total + value * Math.log(value / b[i]!), 0);
  if (beta === 0) return kl(p, q);
  if (beta === 1) return kl(q, p);
  const m = p.map((value, i) => beta * value + (1 - beta) * q[i]!);
  return beta * kl(p, m) + (1 - beta) * kl(q, m);
}

/**
 * q · dL/dq of each class of the student: −p for KL(p‖q), q(log q − log p + 1) for KL(q‖p), and between the two
 * (1 − beta) q (log q − log m), in which the derivatives of both terms by m cancel out.
 */
function weightedSlopes(p: readonly number[], q: readonly number[], beta: number): number[] {
  if (beta === 0) return p.map((value) => -value);
  return q.map((value, i) => {
    const other = beta === 1 ? p[i]! : beta * p[i]! + (1 - beta) * value;
    if (value === 0) return 0;
    return beta === 1 ? value * (Math.log(value / other) + 1) : (1 - beta) * value * Math.log(value / other);
  });
}

/** The gradient of `divergence` by the student's log-probabilities, through the softmax or through what is left. */
function divergenceBackward(student: readonly number[], teacher: readonly number[], options: Divergence): number[] {
  const [p, q] = [classes(teacher, options), classes(student, options)];
  const slopes = weightedSlopes(p, q, options.beta);
  if (options.tail) return student.map((_, k) => slopes[k]! - (q[k]! * slopes.at(-1)!) / q.at(-1)!);
  const sum = slopes.reduce((total, value) => total + value, 0);
  return student.map((_, k) => (slopes[k]! - q[k]! * sum) / options.temperature);
}

/** The divergences of rows of `perRow` tokens, none where the target is negative, summed; and their gradient. */
export function distill(
  student: Values,
  targets: Values,
  teacher: Values,
  perRow: number,
  options: Divergence,
): { loss: number; gradient: Float64Array } {
  const gradient = new Float64Array(student.length);
  let loss = 0;
  for (let first = 0; first < student.length; first += perRow) {
    const places = Array.from({ length: perRow }, (_, k) => first + k).filter((i) => targets[i]! >= 0);
    if (places.length === 0) continue;
    const [s, t] = [student, teacher].map((values) => places.map((i) => values[i]!)) as [number[], number[]];
    loss += divergence(s, t, options);
    const slopes = divergenceBackward(s, t, options);
    places.forEach((place, k) => (gradient[place] = slopes[k]!));
  }
  return { loss, gradient };
}

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
