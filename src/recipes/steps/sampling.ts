/** The next token from logits: the likeliest, or one drawn at random as Transformers' logits processors shape it. */
import type { Random } from '../../core/rng';
import { drawExactly } from './exact-draw';
import { drawQuickly, QuickDrawScratch } from './quick-draw';
import type { SamplingOptions } from './sampling-options';

export type { SamplingOptions };

/** Draws tokens, one at a time, for any number of sequences. Its arrays serve every draw: about 18 bytes a token of the vocabulary. */
export class Sampler {
  private readonly penalized: Float32Array;
  private readonly scratch: QuickDrawScratch;

  constructor(vocabSize: number) {
    this.penalized = new Float32Array(vocabSize);
    this.scratch = new QuickDrawScratch(vocabSize);
  }

  /**
   * One token id. The order is that of Transformers' `generate`: the repetition penalty on the logits as they are, then
   * temperature, top-k, top-p and min-p. One number of `random` is spent, none where the temperature is 0.
   * @param logits [V], which stay as they are
   * @param previous ids of prompt and answer so far, for the repetition penalty
   */
  draw(logits: Float32Array, options: SamplingOptions, random: Random, previous: readonly number[] = []): number {
    const { repetitionPenalty = 1 } = options;
    const scores = repetitionPenalty === 1 ? logits : this.penalize(logits, repetitionPenalty, previous);
    if (options.temperature === 0) return argmax(scores);
    const uniform = random.uniform();
    const largest = scores[argmax(scores)]!;
    return drawQuickly(this.scratch, scores, largest, options, uniform) ?? drawExactly(scores, options, uniform);
  }

  /** Each id once, however often it comes, in f32 as `RepetitionPenaltyLogitsProcessor` computes it. */
  private penalize(logits: Float32Array, penalty: number, previous: readonly number[]): Float32Array {
    const penalized = this.penalized.subarray(0, logits.length);
    penalized.set(logits);
    const factor = Math.fround(penalty);
    for (const id of previous) {
      const logit = logits[id]!;
      penalized[id] = logit < 0 ? logit * factor : logit / factor;
    }
    return penalized;
  }
}

/** The first of the largest. */
export function argmax(logits: Float32Array): number {
  let best = 0;
  let largest = logits[0]!;
  for (let id = 1; id < logits.length; id++) {
    const logit = logits[id]!;
    if (logit > largest) {
      largest = logit;
      best = id;
    }
  }
  return best;
}
