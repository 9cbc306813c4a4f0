/**
 * How work is cut into dispatches, none of which holds the GPU for long: drivers reset one that takes seconds, and a page
 * that shares the card stutters from a tenth of a second on. How many there are follows from sizes alone, so that the plan
 * is the same on all devices.
 */

/**
 * What a dispatch computes at most, in flops, where it can be helped: 100 ms at 1 TFLOP/s, as integrated GPUs reach. At
 * 0.3 TFLOP/s it takes a third of a second, at 0.05 the two seconds after which drivers reset a card.
 */
export const DISPATCH_FLOPS = 1e11;

/** Fewer workgroups than this leave parts of a card idle, so that a dispatch of fewer is not done any sooner. */
export const ENOUGH_WORKGROUPS = 96;

/** What a dispatch may compute, as a multiple of what it should, so that it fills a card. */
const LENIENCE = 2;

export interface Work {
  readonly flops: number;
  readonly workgroups: number;
  /** Pieces that are alike and are not cut any further. */
  readonly pieces: number;
}

/** Into how many dispatches of whole pieces work is cut: each has at most `most` flops, if it then fills a card. */
export function dispatchesFor({ flops, workgroups, pieces }: Work, most = DISPATCH_FLOPS): number {
  const within = (bound: number) => Math.ceil(pieces / Math.max(1, Math.floor((bound * pieces) / flops)));
  const filling = Math.max(1, Math.floor(workgroups / ENOUGH_WORKGROUPS));
  return Math.max(Math.min(within(most), filling), within(LENIENCE * most));
}
