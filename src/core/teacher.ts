/** What a teacher expects to follow each of T tokens: `perToken` tokens, K, with their log-probabilities in nats. */
export interface TeacherTokens {
  readonly perToken: number;
  /** [T, K]; -1 where a token has fewer. */
  readonly ids: Int32Array;
  /** [T, K] */
  readonly logProbs: Float32Array;
}
