/** Jobs that wait for their turn on the GPU, as the page shows them. */
import type { JobId } from '../../protocol/jobs';

/** Said where a job was asked for. */
export const WAITS = 'It begins when what the GPU does now is over.';

export interface WaitingJob {
  readonly id: JobId;
  /** What it will do, in a few words. */
  readonly title: string;
  /** Takes it out of the queue. */
  cancel(): void;
}

export class WaitingJobs {
  /** In the order of asking. */
  list = $state.raw<readonly WaitingJob[]>([]);

  add(job: WaitingJob): void {
    this.list = [...this.list, job];
  }

  /** Does nothing for a job that doesn't wait. */
  remove(id: JobId): void {
    if (this.list.some((job) => job.id === id)) this.list = this.list.filter((job) => job.id !== id);
  }
}
