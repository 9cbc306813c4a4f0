/** One request to another host: who may see the secret, when it counts as stalled, and what its failures are called. */
import { throwIfCancelled } from '../core/errors';
import { jsonFault, parseJson } from '../core/json';
import { CountedBlob } from './counted-blob';
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
  /** Hears how many bytes of a blob have gone to the network in this attempt, where it can be told before the answer. */
  readonly onSent?: (bytes: number) => void;
  /** Sending it twice is sending it once, though it is no plain GET. */
  readonly repeatable?: boolean;
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
/** More of a refusal than a sentence and some figures is not read. */
const MAX_REFUSAL_BYTES = 64 * 2 ** 10;
/** What a socket may hold of a body that is counted as sent. */
const BUFFERED_BYTES = 4 * 2 ** 20;
/** Bytes a second of an upload that still moves: a body may take so much longer than any answer. */
const SLOWEST_UPLOAD = 32 * 2 ** 10;
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
  /** Begins the wait that is under way anew, for so long. */
  private extendWait: (ms: number) => void = () => undefined;
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
  async send(path: string, sending: Sending = {}): Promise<Response> {
    throwIfCancelled(this.signal);
    const { method = 'GET', range, headers: given, onSent } = sending;
    const body = sending.body instanceof Blob ? this.counted(sending.body, onSent) : sending.body;
    const url = this.address(path);
    const headers = new Headers(given);
    if (this.secret !== undefined) headers.set('authorization', `Bearer ${this.secret}`);
    if (range !== undefined) headers.set('range', range);
    const isPlain = (method === 'GET' || method === 'HEAD') && given === undefined;
    const init = {
      method,
      headers,
      ...(body !== undefined && { body }),
      redirect: isPlain ? ('follow' as const) : ('error' as const),
      // What is kept is kept by Graft, which checks it: a browser's own cache would hold the weights twice.
      cache: 'no-store' as const,
      credentials: 'omit' as const,
      referrerPolicy: 'no-referrer' as const,
      signal: this.controller.signal,
    };
    const response = await this.fetch(url, init, body instanceof CountedBlob ? body : undefined);
    if (!response.ok) throw refusal(response, this.subject, await this.reasonOf(response, method));
    if (/^text\/html\b/i.test(response.headers.get('content-type') ?? '') && !this.subject.wantsPage)
      throw pageInstead(this.subject);
    return response;
  }

  /** Nothing is expected of the answer but its head. */
  async drain(response: Response): Promise<void> {
    let bytes = 0;
    for await (const piece of this.body(response)) {
      bytes += piece.byteLength;
      if (bytes > MAX_REFUSAL_BYTES) return;
    }
  }

  /** Why a host refuses, in its own words: a header that Hubs send, or what a JSON answer to a change says; empty where neither. */
  private async reasonOf(response: Response, method: string): Promise<string> {
    const header = response.headers.get('x-error-message') ?? '';
    const isJson = /\bjson\b/i.test(response.headers.get('content-type') ?? '');
    if (header !== '' || method === 'GET' || !isJson) return header;
    const decoder = new TextDecoder();
    let text = '';
    try {
      for await (const piece of this.body(response)) {
        text += decoder.decode(piece, { stream: true });
        if (text.length > MAX_REFUSAL_BYTES) return '';
      }
    } catch {
      throwIfCancelled(this.signal);
      return ''; // the status is known all the same
    }
    return wordsOf(parseJson(text));
  }

  /** A body whose way to the network is watched, so that a long one isn't taken for a stall. */
  private counted(body: Blob, onSent: (bytes: number) => void = () => undefined): CountedBlob {
    let sent = 0;
    const counted: CountedBlob = new CountedBlob(body, (bytes) => {
      sent += bytes;
      onSent(sent);
      this.extendWait(this.transport.stallMs + uploadMs(Math.min(body.size, BUFFERED_BYTES)));
    });
    return counted;
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

  private async fetch(url: string, init: RequestInit, body?: CountedBlob): Promise<Response> {
    const watched = watchPolicy(url);
    const patience = this.transport.stallMs + uploadMs(body?.size ?? 0);
    try {
      const explain = (cause: unknown) => this.explain(cause, url, watched);
      return await this.watchStall(this.transport.fetch(url, init), explain, patience);
    } catch (error) {
      // What is sent couldn't be read: no fault of the host's.
      if (body?.failure instanceof Error) throw body.failure;
      throw error;
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
    const giveUp = () => {
      this.hasStalled = true;
      this.stop();
    };
    let timer = setTimeout(giveUp, stallMs);
    this.extendWait = (ms) => {
      clearTimeout(timer);
      timer = setTimeout(giveUp, ms);
    };
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
      this.extendWait = () => undefined;
      clearTimeout(timer);
    }
  }
}

/** What an answer in JSON says went wrong: under `error`, `message`, or in a list of `errors`. */
function wordsOf(answer: unknown): string {
  const { error, message, errors } = (answer ?? {}) as Record<string, unknown>;
  const listed = Array.isArray(errors) ? errors.map((one) => wordsOf(one)).filter(Boolean) : [];
  return [error, message].find((words) => typeof words === 'string') ?? listed.join('; ');
}

/** How long so many bytes may take on their way. */
function uploadMs(bytes: number): number {
  return (1000 * bytes) / SLOWEST_UPLOAD;
}
