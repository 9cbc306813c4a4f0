/**
 * How work is cut into dispatches, none of which holds the GPU for long: drivers reset one that takes seconds, and a page
 * that shares the card stutters from a tenth of a second on. How many there are changes no bit. A plan that knows no
 * device counts those of one of 1 TFLOP/s; a slower one has more, and their parameters (256 bytes each) in its memory.
 */

/** How long a dispatch may take, in seconds, where it can be helped. */
const DISPATCH_SECONDS = 0.1;

/** What a dispatch computes at most, in flops, on the fastest device: at 1 TFLOP/s, as integrated GPUs reach, 100 ms. */
export const DISPATCH_FLOPS = 1e11;

/** What is over in 100 ms even where two cores emulate a GPU: nothing is cut below it. */
export const QUICK_FLOPS = 5e8;

/** What a dispatch computes at most on a device that does so many flops a second at work of its kind. */
export function dispatchFlops(rate = Infinity): number {
  return Math.min(DISPATCH_FLOPS, Math.max(QUICK_FLOPS, DISPATCH_SECONDS * rate));
}

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
export function dispatchesFor({ flops, workgroups, pieces }: Work, most: number): number {
  const within = (bound: number) => Math.ceil(pieces / Math.max(1, Math.floor((bound * pieces) / flops)));
  const filling = Math.max(1, Math.floor(workgroups / ENOUGH_WORKGROUPS));
  return Math.max(Math.min(within(most), filling), within(LENIENCE * most));
}
