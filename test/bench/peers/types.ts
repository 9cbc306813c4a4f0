/** What an engine must be able to do to be compared: a product, and a training step of an adapted feed-forward block. */

/** Work that was set up once, and may be run again and again. */
export interface Prepared {
  /** Resolves when the GPU is done. */
  run(): Promise<void>;
  /** What the last run computed. */
  results(): Promise<Float32Array[]>;
  dispose(): void;
}

export interface Contender {
  readonly name: string;
  /** x[side, side] · w[side, side], both f32. */
  matmul(side: number, x: Float32Array, w: Float32Array): Promise<Prepared>;
  /** Forward, backward and Adam step of the block; results are dx and the six updated matrices, in `BLOCK_TENSORS`' order. */
  block(inputs: BlockInputs): Promise<Prepared>;
}

/**
 * y = down(silu(gate(x)) · up(x)), each a frozen linear with LoRA: 256 tokens, 512 → 1,408 → 512, rank 16. The loss is
 * Σ y · target; Adam as in torch (no decay, no clipping), its moments zero before the first step.
 */
export const BLOCK = { tokens: 256, width: 512, hidden: 1408, rank: 16, scaling: 2 } as const;

export const ADAM = { learningRate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 } as const;

export type LinearName = 'gate' | 'up' | 'down';

export const LINEARS: Readonly<Record<LinearName, { readonly inFeatures: number; readonly outFeatures: number }>> = {
  gate: { inFeatures: BLOCK.width, outFeatures: BLOCK.hidden },
  up: { inFeatures: BLOCK.width, outFeatures: BLOCK.hidden },
  down: { inFeatures: BLOCK.hidden, outFeatures: BLOCK.width },
};
export const LINEAR_NAMES = Object.keys(LINEARS) as LinearName[];

/** Everything as PEFT has it: weights [out, in], A [r, in], B [out, r]. */
export interface BlockInputs {
  readonly x: Float32Array;
  readonly target: Float32Array;
  readonly linears: Readonly<Record<LinearName, { w: Float32Array; a: Float32Array; b: Float32Array }>>;
}

/** Products of the block, forward and backward, times two; each LoRA matrix has one forward and two backward. */
export const BLOCK_FLOPS = LINEAR_NAMES.map((name) => LINEARS[name]).reduce(
  (sum, { inFeatures, outFeatures }) =>
    sum + 2 * BLOCK.tokens * (2 * inFeatures * outFeatures + 3 * BLOCK.rank * (inFeatures + outFeatures)),
  0,
);

/** The transpose of a [rows, columns] matrix. */
export function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) result[column * rows + row] = values[row * columns + column]!;
  }
  return result;
}
