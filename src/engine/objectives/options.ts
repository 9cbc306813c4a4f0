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

export interface DistillOptions {
  readonly kind: 'distill';
  /** 0 is KL(teacher ‖ student), 1 KL(student ‖ teacher), between them their generalised Jensen-Shannon divergence. */
  readonly beta: number;
  /** Both distributions are softened by it; 1 where there is a tail. */
  readonly temperature: number;
  /** Tokens that aren't targets are one more class; otherwise both distributions are renormalised over the targets. */
  readonly tail: boolean;
  /** The most tokens of a position that the teacher has log-probabilities of. */
  readonly targets: number;
}

/** What is minimised. */
export type ObjectiveOptions = { readonly kind: 'sft' } | DpoOptions | WeightedTargetsOptions | DistillOptions;
