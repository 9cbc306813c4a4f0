/** Who hears of the pauses between two attempts. */

/** A pause before the next attempt. */
export interface Pause {
  readonly ms: number;
  /** Why, as a sentence. */
  readonly reason: string;
}

export type PauseListener = (pause: Pause) => void;

/**
 * Listeners by the signal of their job. Every request that a job makes carries its signal, through sources that outlive
 * it and are shared with other jobs: so a pause reaches the job that waits, and no other.
 */
export class JobPauses {
  private readonly listeners = new WeakMap<AbortSignal, PauseListener>();

  /** `listener` hears of the pauses of all requests that carry `signal`. */
  listen(signal: AbortSignal, listener: PauseListener): void {
    this.listeners.set(signal, listener);
  }

  of(signal: AbortSignal | undefined): PauseListener | undefined {
    return signal && this.listeners.get(signal);
  }
}

/** What a person reads of a pause. */
export function describePause({ ms, reason }: Pause): string {
  return `${reason} Trying again in ${Math.max(1, Math.ceil(ms / 1000))} s.`;
}
