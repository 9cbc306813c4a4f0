/**
 * The one way to another host: a service at an endpoint, asked with retries, a watch for stalls, and the secret that was
 * given for its origin. What the service is, its own client knows (`src/hub`).
 */
import type { Subject } from './errors';
import { JobPauses, type PauseListener } from './pauses';
import { HttpRequest, type Sending, type Transport } from './request';
import { API_RETRIES, Backoff, TRANSFER_RETRIES, withRetries, type RetryPolicy } from './retry';
import { Secrets } from './secrets';

export interface ClientOptions {
  /** Where the secret for the endpoint's origin is looked up, at each request. */
  readonly secrets?: Secrets;
  readonly fetch?: typeof fetch;
  /** A transfer without a byte for so long is given up and asked for again; 30 seconds. */
  readonly stallMs?: number;
  /** An answer in JSON that isn't all there after so long is given up; a minute. */
  readonly answerMs?: number;
  readonly apiRetries?: Partial<RetryPolicy>;
  readonly transferRetries?: Partial<RetryPolicy>;
  /** Told before each pause that comes before another attempt. */
  readonly onPause?: PauseListener;
  /** Jobs that hear of their own pauses, told apart by their signals, in place of `onPause`. */
  readonly pauses?: JobPauses;
}

/** How long a request is tried again: a few seconds, or about a minute. */
type Patience = 'api' | 'transfer';

/** What whoever asks says of a request, beside its name. */
export type SubjectDetails = Pick<Subject, 'wantsPage' | 'ifUnreachable' | 'explain'>;

export class Client {
  private readonly transport: Transport;
  private readonly secrets: Secrets;
  private readonly policies: { readonly api: RetryPolicy; readonly transfer: RetryPolicy };

  /** @param endpoint base URL of the service, checked by whoever knows what it is (`checkEndpoint`) */
  constructor(
    readonly endpoint: string,
    private readonly options: ClientOptions = {},
  ) {
    this.secrets = options.secrets ?? new Secrets();
    this.transport = {
      // Called as a plain function: the browser's own refuses to be anyone's method.
      fetch: options.fetch ?? ((input, init) => fetch(input, init)),
      stallMs: options.stallMs ?? 30_000,
      answerMs: options.answerMs ?? 60_000,
    };
    this.policies = {
      api: { ...API_RETRIES, ...options.apiRetries },
      transfer: { ...TRANSFER_RETRIES, ...options.transferRetries },
    };
  }

  /** The same client, whose pauses `onPause` hears of where no job's listener does. */
  with(changes: Pick<ClientOptions, 'onPause'>): Client {
    return new Client(this.endpoint, { ...this.options, ...changes });
  }

  /** Another host that is asked just as patiently; it gets what `secrets` have for its own origin. */
  at(endpoint: string, secrets = this.secrets): Client {
    return new Client(endpoint, { ...this.options, secrets });
  }

  /** What a request is for. */
  subject(what: string, details: SubjectDetails = {}): Subject {
    const hasSecret = this.secrets.get(this.endpoint) !== undefined;
    const withoutSecrets = (text: string) => this.secrets.cutFrom(text);
    return { ...details, endpoint: this.endpoint, what, hasSecret, withoutSecrets };
  }

  /** One attempt, to be closed by the caller. */
  request(subject: Subject, signal?: AbortSignal): HttpRequest {
    return new HttpRequest(this.transport, subject, this.secrets.get(this.endpoint), signal);
  }

  /** Waiting between attempts of one transfer or one question. */
  backoff(kind: Patience, signal?: AbortSignal): Backoff {
    const listener = this.options.pauses?.of(signal) ?? this.options.onPause;
    return new Backoff(this.policies[kind], listener ?? (() => undefined), signal);
  }

  /**
   * Asks for JSON. A POST that may have been heard is not sent twice, unless that makes no difference. `kind` says how
   * patient to be: for a question that a person waits for, or as a part of long work.
   * @throws `ConnectionError` (`not-found`, `no-access`, `network`, `bad-file`), `cancelled`
   */
  json(
    path: string,
    subject: Subject,
    sending: Sending = {},
    signal?: AbortSignal,
    kind: Patience = 'api',
  ): Promise<unknown> {
    return this.attempt(kind, path, subject, sending, signal, (request, response) => request.json(response));
  }

  /**
   * Sends what is answered by a status alone, and gives the head of the answer.
   * @throws `ConnectionError`, `cancelled`, and what reading a blob throws
   */
  send(path: string, subject: Subject, sending: Sending, signal?: AbortSignal): Promise<Headers> {
    return this.attempt('transfer', path, subject, sending, signal, async (request, response) => {
      await request.drain(response);
      return response.headers;
    });
  }

  private attempt<T>(
    kind: Patience,
    path: string,
    subject: Subject,
    sending: Sending,
    signal: AbortSignal | undefined,
    read: (request: HttpRequest, response: Response) => Promise<T>,
  ): Promise<T> {
    const repeatable = sending.repeatable ?? sending.method !== 'POST';
    return withRetries(this.backoff(kind, signal), repeatable, async () => {
      const request = this.request(subject, signal);
      try {
        return await read(request, await request.send(path, sending));
      } finally {
        request.close();
      }
    });
  }
}
