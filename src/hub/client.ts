/**
 * What Graft asks a Hugging Face Hub, or a mirror of one: which models there are, and what one consists of at which
 * commit. The files themselves are read through `hubSource`.
 */
import type { Subject } from './errors';
import { HubRequest, type Connection } from './http';
import { readRepo, readSearch, type HubRepo, type HubSummary } from './listing';
import { checkEndpoint, checkRepoId, checkRevision, checkToken, HUGGING_FACE } from './names';
import { API_RETRIES, Backoff, TRANSFER_RETRIES, withRetries, type Pause, type RetryPolicy } from './retry';

export { HUGGING_FACE } from './names';

export interface HubClientOptions {
  /** Base URL of the Hub or a mirror. */
  readonly endpoint?: string | undefined;
  /** Sent to the endpoint and to no other host. */
  readonly token?: string | undefined;
  readonly fetch?: typeof fetch;
  /** A transfer without a byte for so long is given up and asked for again; 30 seconds. */
  readonly stallMs?: number;
  readonly apiRetries?: Partial<RetryPolicy>;
  readonly transferRetries?: Partial<RetryPolicy>;
  /** Told before each pause that comes before another attempt. */
  readonly onPause?: (pause: Pause) => void;
}

/** What a search result needs; the Hub sends no other field then. */
const EXPANDED = ['downloads', 'likes', 'gated', 'private', 'config', 'safetensors', 'tags'];

export class HubClient {
  /** @internal What sources of this client use. */
  readonly connection: Connection;

  /** @throws `bad-config` for an endpoint or a token that can't be one */
  constructor(options: HubClientOptions = {}) {
    this.connection = {
      endpoint: checkEndpoint(options.endpoint ?? HUGGING_FACE),
      token: checkToken(options.token),
      // Called as a plain function: the browser's own refuses to be anyone's method.
      fetch: options.fetch ?? ((input, init) => fetch(input, init)),
      stallMs: options.stallMs ?? 30_000,
      apiRetries: { ...API_RETRIES, ...options.apiRetries },
      transferRetries: { ...TRANSFER_RETRIES, ...options.transferRetries },
      onPause: options.onPause ?? (() => undefined),
    };
  }

  get endpoint(): string {
    return this.connection.endpoint;
  }

  /**
   * A model's files at the commit that `revision` (branch, tag or commit) stands for now.
   * @throws `not-found`, `no-access`, `network`, `bad-file` (no Hub answers so), `bad-config` (no such name can be)
   */
  async model(repo: string, revision = 'main', signal?: AbortSignal): Promise<HubRepo> {
    const path = `/api/models/${checkRepoId(repo)}/revision/${encodeURIComponent(checkRevision(revision))}?blobs=true`;
    const subject = this.subject(`the files of ${repo}`, { repo, revision });
    return readRepo(await this.json(path, subject, signal), revision, subject);
  }

  /**
   * Text models with safetensors weights whose name has `query` in it, the most downloaded first.
   * @throws `no-access`, `network`, `bad-file`
   */
  async search(query: string, limit = 20, signal?: AbortSignal): Promise<HubSummary[]> {
    const parameters = new URLSearchParams([
      ['search', query],
      ['filter', 'text-generation'],
      ['filter', 'safetensors'],
      ['sort', 'downloads'],
      ['direction', '-1'],
      ['limit', String(limit)],
      ...EXPANDED.map((field) => ['expand[]', field]),
    ]);
    const subject = this.subject('the list of models');
    return readSearch(await this.json(`/api/models?${parameters}`, subject, signal), subject);
  }

  /** @internal What a request is for, as messages name it. */
  subject(what: string, about: Pick<Subject, 'repo' | 'revision' | 'file'> = {}): Subject {
    return { endpoint: this.endpoint, hasToken: this.connection.token !== undefined, what, ...about };
  }

  private json(path: string, subject: Subject, signal: AbortSignal | undefined): Promise<unknown> {
    const { apiRetries, onPause } = this.connection;
    return withRetries(new Backoff(apiRetries, onPause, signal), async () => {
      const request = new HubRequest(this.connection, subject, signal);
      try {
        return await request.json(await request.send(path));
      } finally {
        request.close();
      }
    });
  }
}
