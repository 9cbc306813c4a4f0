/** What quantising to 4 bits is asked, and what it finds. */
/** The weights of a linear, f32 [out, in]. */
export interface Matrix {
  readonly values: Float32Array;
  readonly outFeatures: number;
  readonly inFeatures: number;
}

export interface GptqOptions {
  /** Σ xᵀx of what the linear is given, [in, in]. */
  readonly gram: Float32Array;
  readonly groupSize: number;
  /** Whether the zero point is in the middle of the codes. */
  readonly symmetric: boolean;
  /** Whether columns are quantised by the size of their inputs, largest first. */
  readonly actOrder: boolean;
  /** Part of the mean diagonal that is added to it. */
  readonly dampPercent: number;
}

/** Scales of input channels, by which they are multiplied before they are rounded, and how they were found. */
export interface ScaleSearch {
  readonly scales: Float32Array;
  readonly ratio: number;
  readonly losses: readonly number[];
}

/** Documents end to end: hidden states [T, C], and the tokens of each. */
export interface HiddenRows {
  readonly hidden: Float32Array;
  readonly documents: readonly number[];
}

/** A layer is computed in two: hidden states to those after attention, and to those after the MLP. */
export type LayerHalf = 'attention' | 'mlp';

/** One layer of a model by itself, in f32, over rows of one length. */
export interface LayerView {
  /** Replaces a parameter, by its name within the layer (`self_attn.q_proj.weight`). */
  write(name: string, values: Float32Array): void;
  /** Hidden states [T, C] after a half, of those before it. */
  run(half: LayerHalf, rows: HiddenRows): Promise<Float32Array>;
  /** Σ xᵀx [in, in] of all rows that a linear (`q_proj`) is given, from the hidden states before its half. */
  sumInputs(module: string, rows: readonly HiddenRows[]): Promise<Float32Array>;
  /** The mean of |x| [in] of the same rows. */
  meanInputs(module: string, rows: readonly HiddenRows[]): Promise<Float32Array>;
  /** Where a linear is. */
  halfOf(module: string): LayerHalf;
  dispose(): void;
}
