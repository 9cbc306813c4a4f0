/** Standard streams that survive their readers. */
import type { Writable } from 'node:stream';
import { reason } from './disk';
import type { Output } from './terminal';

/** Why a stream takes no more: `EPIPE` where its reader has gone, `ENOSPC` where the disk is full. */
export type StreamFailure = NodeJS.ErrnoException;

/**
 * A stream whose first failure is told once; what is written after it goes nowhere. A failed write must not end the
 * process by itself: a training has more to keep than what it prints.
 */
export class SafeOutput implements Output {
  private failed: StreamFailure | undefined;
  private listener: ((failure: StreamFailure) => void) | undefined;

  constructor(private readonly stream: Writable & { readonly isTTY?: boolean; readonly columns?: number }) {
    stream.on('error', (error: StreamFailure) => {
      if (this.failed) return;
      this.failed = error;
      this.listener?.(error);
    });
  }

  get isTTY(): boolean {
    return this.stream.isTTY ?? false;
  }

  get columns(): number {
    return this.stream.columns ?? 80;
  }

  get failure(): StreamFailure | undefined {
    return this.failed;
  }

  write(text: string): void {
    if (!this.failed) this.stream.write(text);
  }

  /** Calls back at the first failure, or at once where there was one. */
  onFailure(listener: (failure: StreamFailure) => void): void {
    this.listener = listener;
    if (this.failed) listener(this.failed);
  }

  /** Waits until what was written is out, as pipes are written in the background, or known to go nowhere. */
  async flush(): Promise<void> {
    if (this.failed) return;
    await new Promise<void>((resolve) => this.stream.write('', () => resolve()));
    await new Promise((resolve) => setImmediate(resolve)); // the error of a write is told after its callback
  }
}

export function describeFailure(failure: StreamFailure): string {
  return failure.code === 'EPIPE' ? 'its reader has gone' : reason(failure);
}
