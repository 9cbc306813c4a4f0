/**
 * The one shape of everything that takes long. A job has an id that the page chooses, a kind, a request and a result,
 * and says meanwhile how far it is. Each feature declares its kinds beside its other types.
 */

/** Chosen by the page; `cancel` takes it. */
export type JobId = string;

/** An event of one kind of job alone. */
export interface OwnEvent {
  readonly kind: string;
}

/** What one kind of job is asked, gives, and says of its own beside `CommonEvent`. */
export interface JobKind<Request, Result, Event extends OwnEvent = never> {
  readonly request: Request;
  readonly result: Result;
  readonly event: Event;
}

/** How far a job is. */
export interface Progress {
  readonly done: number;
  readonly total: number;
  readonly unit: 'bytes' | 'rows' | 'kernels';
}

export type CommonEvent =
  /** Waits for jobs before it on the GPU. */
  | { readonly kind: 'queued' }
  /** It is its turn now. */
  | { readonly kind: 'started' }
  | ({ readonly kind: 'progress' } & Progress)
  /** Nothing goes on for a while: the reason, in a sentence. */
  | { readonly kind: 'pause'; readonly reason: string }
  /** What the user should know, in a sentence. */
  | { readonly kind: 'notice'; readonly message: string };

export type JobEvent<Own extends OwnEvent = never> = CommonEvent | Own;

const COMMON: ReadonlySet<string> = new Set<CommonEvent['kind']>(['queued', 'started', 'progress', 'pause', 'notice']);

/** Whether an event is one that every kind of job has. */
export function isCommonEvent(event: OwnEvent): event is CommonEvent {
  return COMMON.has(event.kind);
}

/** What a worker offers for its kinds of jobs. */
export interface JobRunner<Kinds> {
  /** Rejects with a `GraftError` whose code is in its name, or with `cancelled`. */
  run<K extends keyof Kinds>(
    id: JobId,
    kind: K,
    request: RequestOf<Kinds, K>,
    onEvent: (event: EventOf<Kinds, K>) => void | Promise<void>,
  ): Promise<ResultOf<Kinds, K>>;
  /** Stops a job that runs, and takes one that waits out of its queue; does nothing for any other. */
  cancel(id: JobId): Promise<void>;
}

export type RequestOf<Kinds, K extends keyof Kinds> =
  Kinds[K] extends JobKind<infer Request, unknown, OwnEvent> ? Request : never;
export type ResultOf<Kinds, K extends keyof Kinds> =
  Kinds[K] extends JobKind<unknown, infer Result, OwnEvent> ? Result : never;
export type EventOf<Kinds, K extends keyof Kinds> = JobEvent<
  Kinds[K] extends JobKind<unknown, unknown, infer Event extends OwnEvent> ? Event : never
>;
