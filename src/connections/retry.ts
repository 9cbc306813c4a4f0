/** Waiting before asking again: longer each time, never in step with others, and not for ever. */
import { throwIfCancelled } from '../core/errors';
import { ConnectionError } from './errors';
import type { PauseListener } from './pauses';

export interface RetryPolicy {
  /** Requests without a single new byte before giving up. */
  readonly attempts: number;
  /** Before the second attempt; it doubles from there. */
  readonly firstDelayMs: number;
  readonly longestDelayMs: number;
  /** A host that asks for a longer wait than this is told of at once. */
  readonly longestWaitMs: number;
}

/** For the file transfers: about a minute without a byte. */
export const TRANSFER_RETRIES: RetryPolicy = {
  attempts: 7,
  firstDelayMs: 500,
  longestDelayMs: 20_000,
  longestWaitMs: 300_000,
};

/** For questions that a person waits for: a few seconds. */
export const API_RETRIES: RetryPolicy = { attempts: 3, firstDelayMs: 500, longestDelayMs: 2000, longestWaitMs: 30_000 };

export class Backoff {
  private failures = 0;

  constructor(
    private readonly policy: RetryPolicy,
    private readonly onPause: PauseListener,
    private readonly signal: AbortSignal | undefined,
    private readonly random: () => number = Math.random,
  ) {}

  /** Whether every attempt was made. */
  get isSpent(): boolean {
    return this.failures >= this.policy.attempts;
  }

  /** Something arrived: the count of attempts begins anew. */
  progress(): void {
    this.failures = 0;
  }

  /**
   * Waits until it is time for another attempt.
   * @throws `error` itself where another wouldn't help or was the last; `cancelled`
   */
  async pause(error: unknown): Promise<void> {
    const { attempts, firstDelayMs, longestDelayMs, longestWaitMs } = this.policy;
    if (!(error instanceof ConnectionError) || !error.transient || ++this.failures >= attempts) throw error;
    if ((error.waitMs ?? 0) > longestWaitMs) throw error;
    const delay = Math.min(longestDelayMs, firstDelayMs * 2 ** (this.failures - 1));
    // Between half and all of it, and on top of what the host asked for, lest all who were refused come back at once.
    const ms = (error.waitMs ?? 0) + delay * (0.5 + this.random() / 2);
    this.onPause({ ms, reason: error.message });
    await sleep(ms, this.signal);
  }
}

/**
 * Runs `attempt` until it succeeds or trying again is of no use.
 * @param repeatable doing it twice is doing it once; otherwise only what was refused is tried again
 */
export async function withRetries<T>(backoff: Backoff, repeatable: boolean, attempt: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!repeatable && error instanceof ConnectionError && error.mayHaveActed) throw error;
      await backoff.pause(error);
    }
  }
}

/** @throws `cancelled` as soon as the signal is aborted. */
async function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  throwIfCancelled(signal);
  await new Promise<void>((done) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      done();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener('abort', end);
  });
  throwIfCancelled(signal);
}
