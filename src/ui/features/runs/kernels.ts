/** What the engine's kernels do, in words. */

const WORDS: readonly (readonly [RegExp, string])[] = [
  [/^(cpu\/)?mat(mul|vec)/, 'Products of matrices'],
  [/^(cpu\/)?attention/, 'Attention'],
  [/^(norm|cpu\/rms_norm)/, 'Norms'],
  [/^pointwise\/rope/, 'Positions'],
  [/^glu/, 'Activations'],
  [/^optimizer/, 'The update'],
  [/^(pointwise\/(add|accumulate)|sums)/, 'Sums'],
  [/^dropout/, 'Dropout'],
  [/^(head|objectives|pointwise\/zero)/, 'The loss'],
  [/^rows\/embedding/, 'Looking up tokens'],
  [/^rows\/(gather|scatter)/, 'Picking rows'],
  [/^dora/, 'Magnitudes'],
];

/** `cpu/matmul_quad` as `Products of matrices`; undefined where the name says it as well. */
export function kernelWords(kernel: string): string | undefined {
  return WORDS.find(([pattern]) => pattern.test(kernel))?.[1];
}
