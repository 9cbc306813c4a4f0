/**
 * Tells the page that this thread is alive. The page ends a worker that is silent for too long: a tokenizer's regular
 * expression can go on for hours, and nothing else can stop it.
 */
import type { PulseMessage } from '../../src/protocol/workers';

/** Milliseconds between two signs of life. */
const INTERVAL = 400;

export class Pulse {
  private readonly stretches = new Set<{ readonly milliseconds: number }>();

  constructor(private readonly post: (message: PulseMessage) => void) {}

  /** From now on, for as long as the worker lives. */
  start(): void {
    setInterval(() => this.beat(), INTERVAL);
  }

  /** Announces a stretch of work that may hold the thread for so many milliseconds longer than usual, until its end. */
  expect(milliseconds: number): { end(): void } {
    const stretch = { milliseconds };
    this.stretches.add(stretch);
    this.beat();
    return {
      end: () => {
        if (this.stretches.delete(stretch)) this.beat();
      },
    };
  }

  /** Announces work that holds the thread until it is done. */
  during<T>(milliseconds: number, work: () => T): T {
    const stretch = this.expect(milliseconds);
    try {
      return work();
    } finally {
      stretch.end();
    }
  }

  private beat(): void {
    this.post({ pulse: { allowance: Math.max(0, ...[...this.stretches].map(({ milliseconds }) => milliseconds)) } });
  }
}
