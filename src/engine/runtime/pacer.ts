/** How much work a submit may hold: what the device does in a fifth of a second, at the rates measured for its kinds. */

/** What a dispatch costs beside its arithmetic, in flops. */
export const DISPATCH_FLOPS = 2e4;

/** Longest time that one submit may hold the GPU, in milliseconds; drivers reset after two seconds or more. */
const SUBMIT_BUDGET_MS = 200;

/** Where the rates start: a slow software adapter, in flops per millisecond. */
const INITIAL_RATE = 5e5;

/** How far a rate moves with one submit towards what that took. */
const GAIN = 0.3;

/** A dispatch, as the pacer sees it. */
export interface PacedWork {
  /** Kernels of a kind do about as many flops a second. */
  readonly kind: string;
  /** In flops. */
  readonly cost: number;
}

/** Learns from finished submits how fast the device is at each kind of kernel. */
export class SubmitPacer {
  /** Flops per millisecond by kind, and of all kinds together, which stands for a kind that was not seen yet. */
  private readonly rates = new Map<string, number>();
  private rate = INITIAL_RATE;

  /** Where the submit ends that begins with `work[from]`: past what fits the budget, at most `most`, and at least one. */
  endOfSubmit(work: readonly PacedWork[], from: number, most = Infinity): number {
    const last = Math.min(work.length, from + most);
    let end = from;
    for (let milliseconds = 0; end < last; end++) {
      milliseconds += this.expected(work[end]!);
      if (end > from && milliseconds > SUBMIT_BUDGET_MS) break;
    }
    return end;
  }

  /** Takes in what a submit took. Each kind answers for its share of the time that was expected. */
  observe(work: readonly PacedWork[], milliseconds: number): void {
    const cost = work.reduce((sum, dispatch) => sum + dispatch.cost, 0);
    if (cost < DISPATCH_FLOPS * 16 || milliseconds <= 0) return;
    const shares = new Map<string, number>();
    for (const dispatch of work) {
      shares.set(dispatch.kind, (shares.get(dispatch.kind) ?? 0) + this.expected(dispatch));
    }
    const expected = [...shares.values()].reduce((sum, share) => sum + share, 0);
    for (const [kind, share] of shares) {
      const gain = (GAIN * share) / expected;
      this.rates.set(kind, (this.rates.get(kind) ?? this.rate) * (1 - gain + gain * (expected / milliseconds)));
    }
    this.rate = (1 - GAIN) * this.rate + GAIN * (cost / milliseconds);
  }

  /** Milliseconds. */
  private expected({ kind, cost }: PacedWork): number {
    return cost / (this.rates.get(kind) ?? this.rate);
  }
}
