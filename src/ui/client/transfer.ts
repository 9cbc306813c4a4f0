/** How fast something arrives, from the last few seconds of it. */

export interface Transfer {
  loaded: number;
  total: number;
  /** Bytes a second; undefined until enough has come to say. */
  rate: number | undefined;
}

/** Milliseconds that the rate is measured over: it follows the connection, and doesn't jump with every piece. */
const WINDOW = 5000;
const SHORTEST = 500;

export class TransferRate {
  private readonly samples: { at: number; loaded: number }[] = [];

  /** `at` in milliseconds. */
  note(loaded: number, total: number, at = performance.now()): Transfer {
    this.samples.push({ at, loaded });
    while (this.samples.length > 2 && this.samples[1]!.at <= at - WINDOW) this.samples.shift();
    const first = this.samples[0]!;
    const elapsed = at - first.at;
    const rate = elapsed >= SHORTEST ? (1000 * (loaded - first.loaded)) / elapsed : undefined;
    return { loaded, total, rate };
  }
}
