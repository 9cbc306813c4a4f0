/** One request to a Hub: who may see the token, when it counts as stalled, and what its failures are called. */
import { throwIfCancelled } from '../core/errors';
import { badAnswer, brokenOff, htmlInstead, refusal, stalled, unreachable, type Subject } from './errors';
import type { Pause, RetryPolicy } from './retry';

export interface Connection {
  /** Base URL without a slash at its end. */
  readonly endpoint: string;
  readonly token: string | undefined;
  readonly fetch: typeof fetch;
  /** A transfer without a byte for so long is given up and asked for again. */
  readonly stallMs: number;
  readonly apiRetries: RetryPolicy;
  readonly transferRetries: RetryPolicy;
  readonly onPause: (pause: Pause) => void;
}

/** Far above any real answer: the largest repositories list some 10,000 files in 3 MB. */
const MAX_JSON_BYTES = 32 * 2 ** 20;

/** One attempt at a GET. Whoever makes it closes it. */
export class HubRequest {
  private readonly controller = new AbortController();
  private readonly stop = () => this.controller.abort();
  private hasStalled = false;

  constructor(
    private readonly connection: Connection,
    private readonly subject: Subject,
    private readonly signal: AbortSignal | undefined,
  ) {
    signal?.addEventListener('abort', this.stop);
  }

  /**
   * The response to a GET of `path` below the endpoint, once its head has come and says that a body follows (2xx).
   *
   * The token goes to the endpoint; `fetch` follows redirects and leaves `Authorization` out when one leads to another
   * origin (Fetch standard, HTTP-redirect fetch). `Range: bytes=a-` and `bytes=a-b` need no CORS preflight, whereas
   * `If-Range` would, which the hosts that the Hub redirects to don't allow: so ETags are compared afterwards.
   * @throws `HubError`, `cancelled`
   */
  async send(path: string, range?: string): Promise<Response> {
    throwIfCancelled(this.signal);
    const { endpoint, token } = this.connection;
    const headers = new Headers();
    if (token !== undefined) headers.set('authorization', `Bearer ${token}`);
    if (range !== undefined) headers.set('range', range);
    // What is kept is kept by Graft, which checks it: a browser's own cache would hold the weights twice.
    const options = { headers, cache: 'no-store', credentials: 'omit', signal: this.controller.signal } as const;
    const response = await this.watch(this.connection.fetch(endpoint + path, options), unreachable);
    if (!response.ok) throw refusal(response, this.subject);
    const { file } = this.subject;
    if (/^text\/html\b/i.test(response.headers.get('content-type') ?? '') && !/\.html?$/.test(file ?? ''))
      throw htmlInstead(this.subject);
    return response;
  }

  /** The body as it comes. @throws `HubError`, `cancelled` */
  async *body(response: Response): AsyncGenerator<Uint8Array, void, undefined> {
    const reader = response.body?.getReader();
    if (!reader) return;
    for (;;) {
      const { done, value } = await this.watch(reader.read(), brokenOff);
      if (done) return;
      if (value.byteLength > 0) yield value;
    }
  }

  /** The body as JSON. @throws `bad-file` where it is none, or too large to be an answer */
  async json(response: Response): Promise<unknown> {
    const decoder = new TextDecoder();
    let text = '';
    let bytes = 0;
    for await (const piece of this.body(response)) {
      bytes += piece.byteLength;
      if (bytes > MAX_JSON_BYTES) throw badAnswer(this.subject, 'it is too long');
      text += decoder.decode(piece, { stream: true });
    }
    text += decoder.decode();
    try {
      return JSON.parse(text) as unknown;
    } catch {
      throw badAnswer(this.subject, 'it is not JSON');
    }
  }

  /** Ends what is still under way. */
  close(): void {
    this.signal?.removeEventListener('abort', this.stop);
    this.controller.abort();
  }

  private async watch<T>(work: Promise<T>, named: (subject: Subject, cause: unknown) => Error): Promise<T> {
    const timer = setTimeout(() => {
      this.hasStalled = true;
      this.controller.abort();
    }, this.connection.stallMs);
    try {
      return await work;
    } catch (cause) {
      throwIfCancelled(this.signal);
      throw this.hasStalled ? stalled(this.subject, this.connection.stallMs) : named(this.subject, cause);
    } finally {
      clearTimeout(timer);
    }
  }
}
