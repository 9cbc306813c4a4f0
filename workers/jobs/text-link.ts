/** The GPU worker's way to the text worker: whatever comes from a file or a template of others is read there. */
import { proxy } from 'comlink';
import { throwIfCancelled } from '../../src/core/errors';
import type { EventOf, JobRunner, RequestOf, ResultOf } from '../../src/protocol/jobs';
import type { TextJobs } from '../../src/protocol/workers';
import { orCancelled } from './jobs';

export class TextLink {
  constructor(private readonly text: JobRunner<TextJobs>) {}

  /** @throws `cancelled` when the signal is aborted, and what the job throws */
  async run<K extends keyof TextJobs>(
    kind: K,
    request: RequestOf<TextJobs, K>,
    signal: AbortSignal,
    onEvent: (event: EventOf<TextJobs, K>) => void = () => undefined,
  ): Promise<ResultOf<TextJobs, K>> {
    throwIfCancelled(signal);
    // A worker that was ended may have left jobs behind under the ids that it gave.
    const id = `gpu-${crypto.randomUUID()}`;
    const cancel = () => void this.text.cancel(id);
    signal.addEventListener('abort', cancel, { once: true });
    try {
      return await orCancelled(this.text.run(id, kind, request, proxy(onEvent)), signal);
    } finally {
      signal.removeEventListener('abort', cancel);
    }
  }
}
