/** The page's two workers, and its jobs on them. */
import { proxy, transfer, wrap } from 'comlink';
import gpuScript from '../../../workers/gpu.worker.ts?worker&url';
import textScript from '../../../workers/text.worker.ts?worker&url';
import { GraftError } from '../../core/errors';
import type { EventOf, JobId, JobRunner, RequestOf, ResultOf } from '../../protocol/jobs';
import type { GpuEntry, GpuJobs, GpuWorker, TextJobs } from '../../protocol/workers';
import { startWorker } from './start-worker';
import { TextJobRunner } from './text-jobs';
import { WaitingJobs } from './waiting.svelte';
import { WorkerClient } from './worker-client';

export type Jobs = GpuJobs & TextJobs;

export interface JobOptions<K extends keyof Jobs> {
  readonly signal?: AbortSignal;
  /** Names the job where it waits for the GPU; one without a title waits unseen. */
  readonly waiting?: { readonly title: string; cancel(): void } | undefined;
  readonly onEvent?: (event: EventOf<Jobs, K>) => void;
}

/** Kinds that the text worker runs, by the feature that they belong to; all others run in the GPU worker. */
const TEXT_FEATURES = /^(hub|data|plan|prompts)\.|^models\.open$/;

export class Workers {
  readonly text: TextJobRunner;
  readonly gpu: WorkerClient<GpuWorker>;
  readonly waiting = new WaitingJobs();
  private count = 0;

  constructor() {
    this.text = new TextJobRunner(startTextWorker);
    this.gpu = new WorkerClient('The engine', startGpuWorker, (worker) =>
      // Services answer with promises only, so that what comlink gives is what they are.
      wrap<GpuEntry>(worker).open(document.baseURI, proxy(this.textForGpu())),
    );
  }

  /** Runs a job until it ends. @throws `cancelled` at once when the signal is aborted, but for a job on the GPU, which ends its step */
  async run<K extends keyof Jobs>(
    kind: K,
    request: RequestOf<Jobs, K>,
    { signal, waiting, onEvent = () => undefined }: JobOptions<K> = {},
  ): Promise<ResultOf<Jobs, K>> {
    const id = `page-${++this.count}`;
    const isText = TEXT_FEATURES.test(kind);
    // The kind says which of them has it; TypeScript can't follow that.
    const runner = (isText ? this.text : this.onGpu) as JobRunner<Jobs>;
    const cancel = () => void runner.cancel(id).catch(() => undefined);
    signal?.addEventListener('abort', cancel, { once: true });
    try {
      const result = runner.run(id, kind, request, (event) => {
        if (event.kind === 'queued' && waiting && !signal?.aborted) this.waiting.add({ id, ...waiting });
        else if (event.kind === 'started') this.waiting.remove(id);
        onEvent(event);
      });
      if (signal?.aborted) cancel(); // while the worker was starting: the message follows the job's own
      return await (isText && signal ? orCancelled(result, signal) : result);
    } finally {
      signal?.removeEventListener('abort', cancel);
      this.waiting.remove(id);
    }
  }

  private readonly onGpu: JobRunner<GpuJobs> = {
    run: (id, kind, request, onEvent) => this.gpu.call((worker) => worker.jobs.run(id, kind, request, proxy(onEvent))),
    cancel: (id) => this.gpu.call((worker) => worker.jobs.cancel(id)),
  };

  /** The text worker as the GPU worker sees it: what is read crosses the page without being copied. */
  private textForGpu(): JobRunner<TextJobs> {
    return {
      run: async (id, kind, request, onEvent) => handOver(await this.text.run(id, kind, request, onEvent)),
      cancel: (id) => this.text.cancel(id),
    };
  }
}

function handOver<T>(result: T): T {
  const { packed } = (result ?? {}) as { packed?: Record<string, unknown> };
  return packed
    ? transfer(
        result,
        Object.values(packed).flatMap((value) => (ArrayBuffer.isView(value) ? [value.buffer as ArrayBuffer] : [])),
      )
    : result;
}

/** The result, or `cancelled` at once: a worker in the middle of a large file hears of it a little later. */
function orCancelled<T>(result: Promise<T>, signal: AbortSignal): Promise<T> {
  const cancelled = new Promise<never>((_, reject) => {
    const stop = () => reject(new GraftError('cancelled', 'Stopped because you asked for it.'));
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
  result.catch(() => undefined); // told where anybody still waits for it
  return Promise.race([result, cancelled]);
}

function startGpuWorker(): Worker {
  return startWorker(gpuScript);
}

function startTextWorker(): Worker {
  return startWorker(textScript);
}

export type { JobId };
