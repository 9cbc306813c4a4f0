/**
 * Whether a worker's thread still comes round. It sends a pulse while it is free; one that is silent for too long hangs.
 * The page itself may have slept in the meantime, so that silence counts only where it goes on while the page looks.
 */
import type { PulseMessage } from '../../protocol/workers';

/** Milliseconds of silence after which a worker is looked at, and for which it is then given another chance. */
export const SILENCE = 2800;
const LAST_CHANCE = 700;

const LOOK_INTERVAL = 250;

export class Watch {
  private heard = performance.now();
  private allowance = 0;
  private suspectedAt: number | undefined;
  private readonly timer: ReturnType<typeof setInterval>;

  constructor(
    worker: Worker,
    /** Whether anything was asked of it; an idle worker owes no pulse. */
    isBusy: () => boolean,
    onHang: () => void,
  ) {
    worker.addEventListener('message', ({ data }: MessageEvent<Partial<PulseMessage> | null>) => {
      if (!data?.pulse) return;
      this.heard = performance.now();
      this.allowance = data.pulse.allowance;
      this.suspectedAt = undefined;
    });
    this.timer = setInterval(() => {
      const now = performance.now();
      if (!isBusy() || now - this.heard < SILENCE + this.allowance) this.suspectedAt = undefined;
      else this.suspectedAt ??= now;
      if (this.suspectedAt === undefined || now - this.suspectedAt < LAST_CHANCE) return;
      this.end();
      onHang();
    }, LOOK_INTERVAL);
  }

  end(): void {
    clearInterval(this.timer);
  }
}
