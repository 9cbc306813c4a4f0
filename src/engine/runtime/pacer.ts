/** How much work a submit may hold. */
import { DISPATCH_FLOPS } from './dispatch';

/** Longest time that one submit may hold the GPU, in milliseconds; drivers reset after two seconds or more. */
const SUBMIT_BUDGET_MS = 200;

/** Where the speed estimate starts: a slow software adapter, in flops per millisecond. */
const INITIAL_RATE = 5e5;

/** Learns how fast the device is from finished submits. */
export class SubmitPacer {
  private rate = INITIAL_RATE;

  /** Cost that fits the budget. */
  get budget(): number {
    return this.rate * SUBMIT_BUDGET_MS;
  }

  observe(cost: number, milliseconds: number): void {
    if (cost < DISPATCH_FLOPS * 16 || milliseconds <= 0) return;
    this.rate = 0.7 * this.rate + 0.3 * (cost / milliseconds);
  }
}
