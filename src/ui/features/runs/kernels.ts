/** What the engine's kernels do, in words. */

const WORDS: readonly (readonly [RegExp, string])[] = [
  [/^mat(mul|vec)/, 'Products of matrices'],
  [/^attention/, 'Attention'],
  [/^rms_norm/, 'Norms'],
  [/^rope/, 'Positions'],
  [/^glu/, 'Activations'],
  [/^(adamw|sum_squares|global_norm)/, 'The update'],
  [/^(add|accumulate|column_sum|sum)/, 'Sums'],
  [/^dropout/, 'Dropout'],
  [/^(cross_entropy|head_)/, 'The loss'],
  [/^embedding/, 'Looking up tokens'],
  [/^dora/, 'Magnitudes'],
];

/** `matmul_quad` as `Products of matrices`; undefined where the name says it as well. */
export function kernelWords(kernel: string): string | undefined {
  return WORDS.find(([pattern]) => pattern.test(kernel))?.[1];
}
