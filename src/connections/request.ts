/** One request to another host: who may see the secret, when it counts as stalled, and what its failures are called. */
import { throwIfCancelled } from '../core/errors';
import { jsonFault, parseJson } from '../core/json';
import {
  badAnswer,
  brokenOff,
  forbiddenByPolicy,
  pageInstead,
  redirectForbiddenByPolicy,
  refusal,
  stalled,
  tooSlow,
  unreachable,
  type ConnectionError,
  type Subject,
} from './errors';
import { watchPolicy } from './policy';

/** What to send. All but a plain GET stays with the host that it is for: a redirect of it is an error. */
export interface Sending {
  readonly method?: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE';
  /** `bytes=a-` or `bytes=a-b`: these need no CORS preflight, and go along with redirects. */
  readonly range?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array<ArrayBuffer> | Blob;
}

/** How requests are made: what of a client its requests see. */
export interface Transport {
  readonly fetch: typeof fetch;
  /** A transfer without a byte for so long is given up. */
  readonly stallMs: number;
  /** An answer in JSON that isn't all there after so long is given up. */
  readonly answerMs: number;
}

/** Far above any real answer: the largest repositories of the Hub list some 10,000 files in 3 MB. */
const MAX_JSON_BYTES = 8 * 2 ** 20;
/** Fewer bytes than these while a stall is watched for count as none: a host may send one now and then, for ever. */
export const LEAST_PROGRESS = 4096;

/** One attempt. Whoever makes it closes it. */
export class HttpRequest {
  private readonly controller = new AbortController();
  private readonly stop = () => {
    this.controller.abort();
    this.interrupt();
  };
  /** Ends the wait that is under way. */
  private interrupt: () => void = () => undefined;
  private hasStalled = false;
  private isTooSlow = false;

  /** @param secret the one for the origin of `subject.endpoint`, if there is any */
  constructor(
    private readonly transport: Transport,
    private readonly subject: Subject,
    private readonly secret: string | undefined,
    private readonly signal: AbortSignal | undefined,
  ) {
    signal?.addEventListener('abort', this.stop);
  }

  /**
   * The response, once its head has come and says that a body follows (2xx).
   *
   * The secret goes to the origin of the endpoint. `fetch` follows redirects of a plain GET, and leaves `Authorization`
   * out from the first one on that leads to another origin (Fetch standard, HTTP-redirect fetch): it has to, for scripts
   * can't read where a redirect leads.
   * @param path below the endpoint, beginning with a slash
   * @throws `ConnectionError`, `cancelled`
   */
  async send(path: string, { method = 'GET', range, headers: given, body }: Sending = {}): Promise<Response> {
    throwIfCancelled(this.signal);
    const url = this.address(path);
    const headers = new Headers(given);
    if (this.secret !== undefined) headers.set('authorization', `Bearer ${this.secret}`);
    if (range !== undefined) headers.set('range', range);
    const isPlain = (method === 'GET' || method === 'HEAD') && given === undefined;
    const response = await this.fetch(url, {
      method,
      headers,
      ...(body !== undefined && { body }),
      redirect: isPlain ? 'follow' : 'error',
      // What is kept is kept by Graft, which checks it: a browser's own cache would hold the weights twice.
      cache: 'no-store',
      credentials: 'omit',
      referrerPolicy: 'no-referrer',
      signal: this.controller.signal,
    });
    if (!response.ok) throw refusal(response, this.subject);
    if (/^text\/html\b/i.test(response.headers.get('content-type') ?? '') && !this.subject.wantsPage)
      throw pageInstead(this.subject);
    return response;
  }

  /** The body as it comes. @throws `ConnectionError`, `cancelled` */
  async *body(response: Response): AsyncGenerator<Uint8Array, void, undefined> {
    const reader = response.body?.getReader();
    if (!reader) return;
    let [bytes, waitedMs] = [0, 0];
    for (;;) {
      const since = performance.now();
      const leftMs = Math.max(0, this.transport.stallMs - waitedMs);
      const { done, value } = await this.watchStall(reader.read(), (cause) => brokenOff(this.subject, cause), leftMs);
      if (done) return;
      bytes += value.byteLength;
      // Whoever reads may take long over a piece: that is no time of the host's.
      waitedMs += performance.now() - since;
      if (bytes >= LEAST_PROGRESS) [bytes, waitedMs] = [0, 0];
      if (value.byteLength > 0) yield value;
    }
  }

  /** The body as JSON. @throws `bad-file` where it is none, or too large to be an answer; `network` where it doesn't end */
  async json(response: Response): Promise<unknown> {
    const timer = setTimeout(() => {
      this.isTooSlow = true;
      this.stop();
    }, this.transport.answerMs);
    try {
      const text = await this.text(response);
      const value = parseJson(text);
      if (value !== undefined) return value;
      const { line, column, what } = jsonFault(text);
      throw badAnswer(this.subject, `it is not JSON (line ${line}, column ${column}: ${what})`);
    } finally {
      clearTimeout(timer);
    }
  }

  private async text(response: Response): Promise<string> {
    const decoder = new TextDecoder();
    let text = '';
    let bytes = 0;
    for await (const piece of this.body(response)) {
      bytes += piece.byteLength;
      if (bytes > MAX_JSON_BYTES) throw badAnswer(this.subject, 'it is too long');
      text += decoder.decode(piece, { stream: true });
    }
    return text + decoder.decode();
  }

  /** Ends what is still under way. */
  close(): void {
    this.signal?.removeEventListener('abort', this.stop);
    this.stop();
  }

  /** A path can't lead to another host: `@host` or `.host` behind an endpoint without a path would. */
  private address(path: string): string {
    if (!path.startsWith('/')) throw new Error(`${path} is no path: it begins with no slash.`);
    return new URL(this.subject.endpoint + path).href;
  }

  private async fetch(url: string, init: RequestInit): Promise<Response> {
    const watched = watchPolicy(url);
    try {
      return await this.watchStall(this.transport.fetch(url, init), (cause) => this.explain(cause, url, watched));
    } finally {
      watched.end();
    }
  }

  private async explain(cause: unknown, url: string, watched: ReturnType<typeof watchPolicy>): Promise<Error> {
    if (!(await watched.wasRefused())) return unreachable(this.subject, cause);
    // Without the secret, and as far as the first answer: does the endpoint answer, and only sends elsewhere?
    const init = { redirect: 'manual', credentials: 'omit', signal: this.controller.signal } as const;
    const answers = await this.transport.fetch(url, init).then(
      () => true,
      () => false,
    );
    return answers ? redirectForbiddenByPolicy(this.subject, cause) : forbiddenByPolicy(this.subject, cause);
  }

  private async watchStall<T>(
    work: Promise<T>,
    explain: (cause: unknown) => ConnectionError | Promise<Error>,
    stallMs = this.transport.stallMs,
  ): Promise<T> {
    const timer = setTimeout(() => {
      this.hasStalled = true;
      this.stop();
    }, stallMs);
    try {
      // Not every fetch ends when it is told to: Node 20's waits for ever behind a body that is not the gzip it should be.
      return await new Promise<T>((resolve, reject) => {
        this.interrupt = () => reject(new Error('interrupted'));
        work.then(resolve, reject);
      });
    } catch (cause) {
      throwIfCancelled(this.signal);
      if (this.isTooSlow) throw tooSlow(this.subject, this.transport.answerMs);
      throw this.hasStalled ? stalled(this.subject, this.transport.stallMs) : await explain(cause);
    } finally {
      clearTimeout(timer);
    }
  }
}
