/** How a token is drawn, for whoever draws one. */

/** What shapes a draw, named as in Transformers' generation_config.json. */
export interface SamplingOptions {
  /** 0 takes the likeliest token each time. */
  readonly temperature: number;
  /** Draw from the likeliest tokens that make up this much probability; 1 draws from all. */
  readonly topP: number;
  /** Draw from this many likeliest tokens; 0 draws from all. */
  readonly topK: number;
  /** Draw from tokens of at least this share of the likeliest token's probability, 0 to 1; 0, the default, draws from all. */
  readonly minP?: number;
  /** Above 1, tokens that prompt or answer have already become less likely; below 1, likelier. 1, the default, changes nothing. */
  readonly repetitionPenalty?: number;
}

/** Whether an option leaves tokens out of a draw. */
export function drawsFromSome({ topP, topK, minP = 0 }: Pick<SamplingOptions, 'topP' | 'topK' | 'minP'>): boolean {
  return topP < 1 || topK !== 0 || minP > 0;
}
