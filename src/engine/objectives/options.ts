/** What objectives are asked for by. */

export interface DpoOptions {
  readonly kind: 'dpo';
  readonly beta: number;
  /**
   * What the trained model is held against: the model without its adapter, a frozen copy of what is trained as it was
   * when training began, or the log-probabilities that come with the rows.
   */
  readonly reference: 'base' | 'copy' | 'rows';
}

export interface WeightedTargetsOptions {
  readonly kind: 'weighted-targets';
  /** The most targets of a position. */
  readonly targets: number;
}

/** What is minimised. */
export type ObjectiveOptions = { readonly kind: 'sft' } | DpoOptions | WeightedTargetsOptions;
