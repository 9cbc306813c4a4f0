/**
 * Whether a worker's thread still comes round. It sends a pulse while it is free; one that is silent for too long hangs.
 * The page itself may have slept in the meantime, so that silence counts only where it goes on while the page looks.
 */
import type { PulseMessage } from '../../protocol/workers';

/** Milliseconds of silence after which a worker is suspected to hang, and that it is then given to show that it doesn't. */
export interface Patience {
  readonly silence: number;
  readonly lastChance: number;
}

const LOOK_INTERVAL = 100;

export class Watch {
  private heard = performance.now();
  private hasPulse = false;
  private allowance = 0;
  private suspectedAt: number | undefined;
  private readonly timer: ReturnType<typeof setInterval>;

  constructor(
    worker: Worker,
    /** How long it may be silent now; undefined while nothing is asked of it. */
    patience: () => Patience | undefined,
    onHang: () => void,
  ) {
    worker.addEventListener('message', ({ data }: MessageEvent<Partial<PulseMessage> | null>) => {
      if (!data?.pulse) return;
      this.heard = performance.now();
      this.hasPulse = true;
      this.allowance = data.pulse.allowance;
      this.suspectedAt = undefined;
    });
    this.timer = setInterval(() => {
      const now = performance.now();
      const limits = patience();
      if (!limits || now - this.heard < limits.silence + this.allowance) this.suspectedAt = undefined;
      else this.suspectedAt ??= now;
      if (!limits || this.suspectedAt === undefined || now - this.suspectedAt < limits.lastChance) return;
      this.end();
      onHang();
    }, LOOK_INTERVAL);
  }

  /** Whether the worker has announced a long stretch of work that is not over. */
  get isExpected(): boolean {
    return this.allowance > 0;
  }

  /** When the worker was last heard of; undefined while it starts. */
  get heardAt(): number | undefined {
    return this.hasPulse ? this.heard : undefined;
  }

  end(): void {
    clearInterval(this.timer);
  }
}
