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
