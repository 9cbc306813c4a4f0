/**
 * Reference implementations of the engine's ops: plain loops over flat row-major arrays in f64, written for reading
 * and not for speed. A backward function takes the gradient of the output and returns the gradient of each input.
 * Sizes: B batch, T tokens, C channels, V vocabulary, H heads, G key-value heads, D head size.
 */
export type Values = ArrayLike<number>;
