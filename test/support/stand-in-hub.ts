/**
 * A Hugging Face Hub on localhost, on two ports: the Hub itself, and the host that keeps large files, to which the Hub
 * redirects with a signed address. Status codes, headers and redirects are those of huggingface.co; faults can be
 * switched on, and every request is recorded.
 */
import { createHmac, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { StandInModel, type StandInFile, type StandInOptions } from './stand-in-models';
import { StandInUploads } from './stand-in-uploads';

/** What is wrong with an answer. A fault applies to `times` requests that it fits, and then no more. */
export interface Fault {
  /** Only requests with this in their path. */
  readonly path?: string;
  readonly method?: string;
  /** Only one of the two hosts. */
  readonly host?: 'hub' | 'cdn';
  /** For ever, unless said. */
  times?: number;
  /** This status instead of an answer. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** This text instead of an answer, with status 200. */
  readonly body?: { readonly type: string; readonly text: string };
  /** The connection ends before this byte of the file; only answers that reach it are concerned. */
  readonly cutAt?: number;
  /** Nothing more comes from this byte of the file on. */
  readonly stallAt?: number;
  /** Status 200, and no more than so many bytes of the file. */
  readonly shortTo?: number;
  /** Ranges are ignored. */
  readonly wholeOnly?: boolean;
  /** This byte of the file has its lowest bit turned. */
  readonly flipAt?: number;
  readonly etag?: string;
  readonly noCors?: boolean;
  /** The connection ends once more than so many bytes of what is sent have come. */
  readonly cutAfter?: number;
  /** What was sent is heard and done, and the connection ends without an answer. */
  readonly unanswered?: boolean;
}

/** The page that a network shows to those who haven't signed in. */
export const LOGIN_PAGE: Fault['body'] = { type: 'text/html; charset=utf-8', text: '<html><title>Sign in</title>' };

export interface RecordedRequest {
  readonly host: 'hub' | 'cdn';
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
  readonly headers: IncomingMessage['headers'];
  /** 0 where none was sent. */
  status: number;
  /** Bytes of what was sent along. */
  received: number;
  /** Bytes of the body handed to the network. */
  sent: number;
}

const HUB_EXPOSED =
  'X-Repo-Commit,X-Request-Id,X-Error-Code,X-Error-Message,X-Total-Count,ETag,Link,Accept-Ranges,Content-Range,X-Linked-Size,X-Linked-ETag,X-Xet-Hash';
const CDN_EXPOSED = 'Accept-Ranges, Content-Range, Content-Type, Content-Disposition, ETag, X-Cache';
const CDN_ALLOWED = 'Content-Range, Content-Type, Content-Disposition, ETag';
const SIGNED_FOR_MS = 3_600_000;
const NEVER = 9_999_999_999_999;

export class StandInHub {
  readonly requests: RecordedRequest[] = [];
  readonly faults: Fault[] = [];
  readonly uploads: StandInUploads;
  private readonly models = new Map<string, StandInModel>();
  private readonly tokens = new Map<string, ReadonlySet<string>>();
  private readonly secret = randomBytes(16);
  private hub!: Server;
  private cdn!: Server;

  private constructor() {
    const url = () => this.url;
    const cdnUrl = () => this.cdnUrl;
    this.uploads = new StandInUploads({
      get url() {
        return url();
      },
      get cdnUrl() {
        return cdnUrl();
      },
      sign: (path) => this.sign(path, NEVER),
      show: (id, files, options) => this.add(id, files, options),
      allow: (token, ...ids) => this.allow(token, ...(this.tokens.get(token) ?? []), ...ids),
    });
  }

  /** Starts it on two free ports. */
  static async start(): Promise<StandInHub> {
    const self = new StandInHub();
    self.hub = await listen((request, response) => self.answer('hub', request, response));
    self.cdn = await listen((request, response) => self.answer('cdn', request, response));
    return self;
  }

  /** The endpoint, for `HF_ENDPOINT`. */
  get url(): string {
    return address(this.hub);
  }

  get cdnUrl(): string {
    return address(this.cdn);
  }

  /** Adds a model whose files are in memory or in a folder. */
  add(id: string, content: Readonly<Record<string, Uint8Array>> | string, options?: StandInOptions): StandInModel {
    const model = new StandInModel(id, content, options);
    this.models.set(id, model);
    return model;
  }

  /** Makes a token known that may read these private and gated models. */
  allow(token: string, ...ids: string[]): void {
    this.tokens.set(token, new Set(ids));
  }

  /** Requests that fetched bytes of files in large-file storage. */
  weightRequests(): RecordedRequest[] {
    return this.requests.filter(({ host, method }) => host === 'cdn' && method === 'GET');
  }

  async close(): Promise<void> {
    for (const server of [this.hub, this.cdn]) {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    }
  }

  private async answer(host: 'hub' | 'cdn', request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = 'GET', headers, url: path = '/' } = request;
    const { range, authorization } = headers;
    const record: RecordedRequest = {
      host,
      method,
      path,
      range,
      authorization,
      headers,
      status: 0,
      received: 0,
      sent: 0,
    };
    this.requests.push(record);
    response.on('close', () => (record.status = response.headersSent ? response.statusCode : 0));
    const faults = this.faultsFor(host, path, method);
    if (!faults.noCors) setCors(host, request, response);
    if (method === 'OPTIONS') return void response.writeHead(204).end();
    // Whoever still sends would not read a refusal.
    if (faults.status !== undefined && method !== 'GET') for await (const piece of request) void piece;
    if (faults.status !== undefined) return void response.writeHead(faults.status, faults.headers).end();
    if (faults.body) return void response.writeHead(200, { 'content-type': faults.body.type }).end(faults.body.text);
    const exchange = { request, response, record, faults, url: new URL(path, this.url) };
    if (await this.uploads.answer(host, exchange)) return;
    await (host === 'hub' ? this.answerAsHub(exchange) : this.answerAsCdn(exchange));
  }

  /** All faults that fit, as one; those that stop at a byte are counted when they do. */
  private faultsFor(host: 'hub' | 'cdn', path: string, method: string): Fault {
    const fitting = this.faults.filter(
      (fault) =>
        (fault.host ?? host) === host &&
        (fault.method ?? method) === method &&
        path.includes(fault.path ?? '') &&
        (fault.times ?? 1) > 0,
    );
    // An answer has one status: the next of several faults that set it waits for the next request.
    const first = fitting.find(({ status, body }) => status !== undefined || body !== undefined);
    const chosen = first ? [first] : fitting.filter((fault) => !stopsAtByte(fault));
    chosen.forEach(spend);
    return Object.assign({}, ...chosen) as Fault;
  }

  private async answerAsHub(exchange: Exchange): Promise<void> {
    const { pathname, searchParams } = exchange.url;
    const { response } = exchange;
    if (pathname === '/api/models') return sendJson(response, this.search(searchParams));
    const cached = /^\/api\/resolve-cache\/models\/([^/]+\/[^/]+)\/([^/]+)\/(.+)$/.exec(pathname);
    const found =
      cached ??
      /^\/api\/models\/([^/]+\/[^/]+)(?:\/(?:revision|tree)\/([^/]+))?$/.exec(pathname) ??
      /^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(pathname);
    if (!found) return refuse(response, 404, '', 'Not Found');
    const [repo, revision, file] = [found[1], found[2] ?? 'main', found[3]].map((part) =>
      decodeURIComponent(part ?? ''),
    );
    const model = this.visible(repo!, file !== '', exchange);
    if (!model) return;
    if (!model.has(revision!)) return refuse(response, 404, 'RevisionNotFound', `Invalid rev id: ${revision}`);
    const at = model.at(revision!);
    if (file !== '') return this.resolve(exchange, at, file!, cached !== null);
    if (pathname.includes('/tree/')) return sendJson(response, await at.tree());
    return sendJson(response, await at.info(searchParams.get('blobs') === 'true'));
  }

  /** The model if the request may see it; otherwise the refusal is sent. */
  private visible(id: string, wantsFile: boolean, { request, response }: Exchange): StandInModel | undefined {
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
    const readable = token === undefined ? new Set<string>() : this.tokens.get(token);
    if (!readable) {
      refuse(response, 401, '', 'Invalid credentials in Authorization header');
      return undefined;
    }
    const model = this.models.get(id);
    if (!model || (model.options.private && !readable.has(id))) {
      if (token === undefined) refuse(response, 401, 'RepoNotFound', 'Invalid username or password.');
      else refuse(response, 404, 'RepoNotFound', 'Repository not found');
      return undefined;
    }
    if (model.options.disabled) {
      refuse(response, 403, '', 'Access to this resource is disabled.');
      return undefined;
    }
    if (wantsFile && model.options.gated && !readable.has(id)) {
      refuse(response, token === undefined ? 401 : 403, 'GatedRepo', `Access to model ${id} is restricted.`);
      return undefined;
    }
    return model;
  }

  private search(query: URLSearchParams): object[] {
    const text = (query.get('search') ?? '').toLowerCase();
    return [...this.models.values()]
      .filter(({ id, options }) => !options.private && id.toLowerCase().includes(text))
      .sort((a, b) => (b.options.downloads ?? 0) - (a.options.downloads ?? 0))
      .slice(0, Number(query.get('limit') ?? 1000))
      .map((model) => model.summary());
  }

  /** Small files come from the Hub, by way of an address that can be cached; large ones from the other host. */
  private async resolve(exchange: Exchange, model: StandInModel, name: string, cached: boolean): Promise<void> {
    const { response } = exchange;
    const file = model.files.get(name);
    if (!file) return refuse(response, 404, 'EntryNotFound', 'Entry not found');
    const { sha256, blobId } = await file.hash();
    response.setHeader('x-repo-commit', model.commit);
    response.setHeader('accept-ranges', 'bytes');
    if (!file.isLarge && !cached) {
      const location = `/api/resolve-cache/models/${model.id}/${model.commit}/${encodeURIComponent(name)}?etag=${blobId}`;
      return void response.writeHead(307, { location, etag: `"${blobId}"` }).end();
    }
    if (!file.isLarge) return sendFile(exchange, file, `"${blobId}"`, this.faults);
    const signed = this.sign(`/${model.id}/${model.commit}/${encodeURIComponent(name)}`, Date.now() + SIGNED_FOR_MS);
    response.writeHead(302, {
      location: this.cdnUrl + signed,
      'x-linked-size': file.size,
      'x-linked-etag': `"${sha256}"`,
      'x-xet-hash': sha256,
      'content-type': 'text/plain; charset=utf-8',
    });
    response.end(`Found. Redirecting to ${this.cdnUrl}${signed}`);
  }

  private async answerAsCdn(exchange: Exchange): Promise<void> {
    const { url, response } = exchange;
    const expires = Number(url.searchParams.get('Expires'));
    if (this.sign(url.pathname, expires) !== url.pathname + url.search || expires < Date.now())
      return void response
        .writeHead(403, { 'content-type': 'application/xml' })
        .end('<Error><Code>AccessDenied</Code>');
    const [, org, name, , file = ''] = url.pathname.split('/');
    const found = this.models.get(`${org}/${name}`)!.files.get(decodeURIComponent(file))!;
    await sendFile(exchange, found, `"${(await found.hash()).sha256}"`, this.faults);
  }

  private sign(path: string, expires: number): string {
    const signature = createHmac('sha256', this.secret).update(`${path} ${expires}`).digest('base64url');
    return `${path}?Expires=${expires}&Signature=${signature}`;
  }
}

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly record: RecordedRequest;
  readonly faults: Fault;
  readonly url: URL;
}

async function listen(answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>): Promise<Server> {
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => response.destroy(error as Error));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

function address(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function setCors(host: 'hub' | 'cdn', { headers, method }: IncomingMessage, response: ServerResponse): void {
  if (host === 'cdn') {
    response.setHeader('access-control-allow-origin', '*');
    response.setHeader('access-control-allow-headers', CDN_ALLOWED);
    response.setHeader('access-control-expose-headers', CDN_EXPOSED);
    return;
  }
  response.setHeader('access-control-allow-origin', headers.origin ?? 'https://huggingface.co');
  response.setHeader('vary', 'Origin');
  response.setHeader('access-control-expose-headers', HUB_EXPOSED);
  if (method !== 'OPTIONS') return;
  response.setHeader('access-control-allow-methods', 'GET');
  response.setHeader('access-control-allow-headers', headers['access-control-request-headers'] ?? '');
}

function refuse(response: ServerResponse, status: number, code: string, message: string): void {
  if (code !== '') response.setHeader('x-error-code', code);
  response.setHeader('x-error-message', message);
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8' });
  response.end(JSON.stringify({ error: message }));
}

function sendJson(response: ServerResponse, value: object): void {
  response.writeHead(200, { 'content-type': 'application/json; charset=utf-8' }).end(JSON.stringify(value));
}

/** Bytes `[start, end)` that a Range header asks for; undefined for the whole, null where there are none such. */
function readRange(header: string | undefined, size: number): [number, number] | undefined | null {
  const [, first = '', last = ''] = /^bytes=(\d*)-(\d*)$/.exec(header ?? '') ?? [];
  if (first === '' && last === '') return undefined;
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === '' || last === '' ? size : Math.min(size, Number(last) + 1);
  return start < end ? [start, end] : null;
}

async function sendFile(
  { request, response, record, faults }: Exchange,
  file: StandInFile,
  etag: string,
  all: Fault[],
) {
  const size = Math.min(file.size, faults.shortTo ?? Infinity);
  const wholeOnly = faults.wholeOnly === true || faults.shortTo !== undefined;
  const range = wholeOnly ? undefined : readRange(request.headers.range, size);
  response.setHeader('etag', faults.etag ?? etag);
  response.setHeader('accept-ranges', 'bytes');
  response.setHeader('content-type', file.isLarge ? 'application/octet-stream' : 'text/plain; charset=utf-8');
  if (range === null) return void response.writeHead(416, { 'content-range': `bytes */${size}` }).end();
  const [start, end] = range ?? [0, size];
  response.setHeader('content-length', end - start);
  if (range) response.setHeader('content-range', `bytes ${start}-${end - 1}/${size}`);
  response.writeHead(range ? 206 : 200);
  if (request.method === 'HEAD') return void response.end();
  const { stop, at } = nextStop(all, record, start, end);
  for await (const piece of file.pieces(start, at)) {
    if (response.destroyed) return;
    const sent = withFlippedBit(piece, start + record.sent, faults.flipAt);
    const goesOn = response.write(sent);
    record.sent += piece.byteLength;
    if (!goesOn) await drained(response);
  }
  if (stop === undefined) response.end();
  else if (stop.cutAt !== undefined) response.write('', () => response.destroy());
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((done) => {
    const end = () => {
      response.off('drain', end).off('close', end);
      done();
    };
    response.on('drain', end).on('close', end);
  });
}

/** The first byte in `[start, end)` before which a fault stops the answer. It is spent: the next answer gets further. */
function nextStop(faults: readonly Fault[], { host, path }: RecordedRequest, start: number, end: number) {
  let stop: Fault | undefined;
  let at = end;
  for (const fault of faults) {
    const fits = (fault.host ?? host) === host && path.includes(fault.path ?? '') && (fault.times ?? 1) > 0;
    const byte = fault.cutAt ?? fault.stallAt;
    if (fits && byte !== undefined && byte >= start && byte < at) [stop, at] = [fault, byte];
  }
  if (stop) spend(stop);
  return { stop, at };
}

function stopsAtByte({ cutAt, stallAt }: Fault): boolean {
  return cutAt !== undefined || stallAt !== undefined;
}

function spend(fault: Fault): void {
  if (fault.times !== undefined) fault.times--;
}

function withFlippedBit(piece: Uint8Array, start: number, flipAt = -1): Uint8Array {
  if (flipAt < start || flipAt >= start + piece.byteLength) return piece;
  const flipped = piece.slice();
  flipped[flipAt - start]! ^= 1;
  return flipped;
}
