/** One kind of job as the page shows it: whether it waits or runs, how far it is, and how it ended. */
import { errorCode, plainError, type PlainError } from '../../core/errors';
import {
  isCommonEvent,
  type CommonEvent,
  type EventOf,
  type Progress,
  type RequestOf,
  type ResultOf,
} from '../../protocol/jobs';
import { TransferRate, type Transfer } from './transfer';
import type { Jobs, Workers } from './workers';

export class Job<K extends keyof Jobs> {
  /** `stopping`: cancelled, but not over yet. */
  state = $state<'idle' | 'queued' | 'running' | 'stopping'>('idle');
  /** What is done of what, with its rate; undefined while nothing is known. */
  progress = $state.raw<Transfer & Pick<Progress, 'unit'>>();
  /** Why nothing goes on at the moment. */
  pause = $state.raw<string>();
  notices = $state.raw<readonly string[]>([]);
  error = $state.raw<PlainError>();
  /** The user stopped the last one. */
  stopped = $state(false);

  private controller: AbortController | undefined;
  private rate = new TransferRate();

  constructor(
    private readonly workers: Workers,
    private readonly kind: K,
    /** Hears the kind's own events, of the job that was asked for last. */
    private readonly onEvent: (event: EventOf<Jobs, K>) => void = () => undefined,
  ) {}

  get isRunning(): boolean {
    return this.state !== 'idle';
  }

  /**
   * Runs the job in place of the one before, which is cancelled. Gives undefined where it failed, which `error` tells,
   * was stopped, or gave way to another. `title` names it in the dock where it waits for the GPU.
   */
  async run(request: RequestOf<Jobs, K>, title?: string): Promise<ResultOf<Jobs, K> | undefined> {
    const before = this.controller;
    const controller = new AbortController();
    this.controller = controller;
    this.forget();
    this.state = 'running';
    const isCurrent = () => this.controller === controller;
    const onEvent = (event: EventOf<Jobs, K>) => {
      if (isCurrent()) this.hear(event);
    };
    const waiting = title === undefined ? undefined : { title, cancel: () => this.cancel() };
    const result = this.workers.run(this.kind, request, { signal: controller.signal, waiting, onEvent });
    // Only now: where both read the same, the worker goes on with it.
    before?.abort();
    try {
      const value = await result;
      return isCurrent() ? value : undefined;
    } catch (error) {
      if (!isCurrent()) return undefined;
      if (errorCode(error) === 'cancelled') this.stopped = true;
      else this.error = plainError(error);
      return undefined;
    } finally {
      if (isCurrent()) {
        this.controller = undefined;
        this.state = 'idle';
        this.progress = undefined;
        this.pause = undefined;
      }
    }
  }

  cancel(): void {
    if (!this.controller || this.state === 'stopping') return;
    this.state = 'stopping';
    this.controller.abort();
  }

  /** Cancels what is under way and forgets what was said of it. */
  clear(): void {
    const { controller } = this;
    this.controller = undefined;
    controller?.abort();
    this.state = 'idle';
    this.forget();
  }

  private forget(): void {
    this.progress = undefined;
    this.pause = undefined;
    this.notices = [];
    this.error = undefined;
    this.stopped = false;
    this.rate = new TransferRate();
  }

  private hear(event: EventOf<Jobs, K>): void {
    if (isCommonEvent(event)) this.note(event);
    this.onEvent(event);
  }

  private note(event: CommonEvent): void {
    if (event.kind === 'queued') this.state = 'queued';
    else if (event.kind === 'started') this.state = this.state === 'queued' ? 'running' : this.state;
    else if (event.kind === 'pause') this.pause = event.reason;
    else if (event.kind === 'notice') this.notices = [...this.notices, event.message];
    else {
      if (this.progress?.unit !== event.unit) this.rate = new TransferRate();
      this.progress = { ...this.rate.note(event.done, event.total), unit: event.unit };
      this.pause = undefined;
    }
  }
}
