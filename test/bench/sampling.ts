/**
 * `npm run bench -- sampling`: drawing a token from the logits of a large vocabulary, beside a sort of all of it. Draws are
 * checked against that sort before anything is timed.
 */
import { Random } from '../../src/core/rng';
import { Sampler, type SamplingOptions } from '../../src/recipes/steps/sampling';
import { sample } from '../reference/sampling';

const VOCABULARY = 151_936;
const CHECKED = 20;
const WARM_UP = 50;
const DRAWS = 400;

const OPTIONS: Readonly<Record<string, SamplingOptions>> = {
  greedy: { temperature: 0, topP: 1, topK: 0 },
  'temperature 0.7': { temperature: 0.7, topP: 1, topK: 0 },
  'top-p 0.9': { temperature: 0.7, topP: 0.9, topK: 0 },
  'top-k 50, top-p 0.9': { temperature: 0.7, topP: 0.9, topK: 50 },
  'top-p 0.9, min-p 0.05': { temperature: 0.7, topP: 0.9, topK: 0, minP: 0.05 },
  'top-p 0.9, penalty 1.1': { temperature: 0.7, topP: 0.9, topK: 0, repetitionPenalty: 1.1 },
};

export function benchSampling(write: (line: string) => void): void {
  const previous = Array.from({ length: 1000 }, (_, i) => (i * 7919) % VOCABULARY);
  for (const [shape, logits] of Object.entries(makeLogits())) {
    for (const [name, options] of Object.entries(OPTIONS)) {
      const sampler = new Sampler(VOCABULARY);
      const isPlain = options.minP === undefined && options.repetitionPenalty === undefined;
      if (isPlain) check(`${shape}, ${name}`, sampler, logits, options);
      const random = new Random(1);
      const ours = measure(WARM_UP, DRAWS, (i) => sampler.draw(logits[i % logits.length]!, options, random, previous));
      const plain = isPlain && measure(2, 7, (i) => sample(logits[i % logits.length]!, options, random));
      write(`${shape}, ${name}: ${ours}${plain ? `; sorting all ${plain}` : ''}`);
    }
  }
}

/** Some rows of logits of each kind. */
function makeLogits(): Record<string, Float32Array[]> {
  const random = new Random(11);
  const rows = (value: (i: number) => number) =>
    Array.from({ length: 4 }, () => Float32Array.from({ length: VOCABULARY }, (_, i) => value(i)));
  // A bulk of normal logits, and few tokens far above it, as language models give them.
  const peaked = rows((i) => 2.5 * random.normal() + (i % 1511 === 700 ? 6 + 5 * random.uniform() : 0));
  return { peaked, flat: rows(() => 2 * random.uniform() - 1) };
}

function check(name: string, sampler: Sampler, rows: readonly Float32Array[], options: SamplingOptions): void {
  const [ours, plain] = [new Random(5), new Random(5)];
  for (let i = 0; i < CHECKED; i++) {
    const logits = rows[i % rows.length]!;
    const [actual, expected] = [sampler.draw(logits, options, ours), sample(logits, options, plain)];
    if (actual !== expected) throw new Error(`${name}: draw ${i + 1} is ${actual} instead of ${expected}`);
  }
}

/** Milliseconds of a draw: the median, and from the least to the 95th of a hundred. */
function measure(warmUp: number, draws: number, draw: (i: number) => unknown): string {
  for (let i = 0; i < warmUp; i++) draw(i);
  const times = Array.from({ length: draws }, (_, i) => {
    const began = performance.now();
    draw(i);
    return performance.now() - began;
  }).sort((a, b) => a - b);
  const at = (share: number) => times[Math.floor(share * (times.length - 1))]!.toFixed(2);
  return `${at(0.5)} ms (${at(0)} to ${at(0.95)})`;
}
