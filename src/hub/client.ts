/**
 * What Graft asks a Hugging Face Hub, or a mirror of one: which models there are, and what one consists of at which
 * commit. The files themselves are read through `hubSource`.
 */
import { Client, type ClientOptions } from '../connections/client';
import type { Subject } from '../connections/errors';
import type { PauseListener } from '../connections/pauses';
import { Secrets } from '../connections/secrets';
import { errorCode } from '../core/errors';
import { explainRefusal, type HubSubject } from './errors';
import { readRepo, readSearch, type HubRepo, type HubSummary } from './listing';
import { checkHubEndpoint, checkRepoId, checkRevision, HUGGING_FACE } from './names';

export { HUGGING_FACE } from './names';

export interface HubClientOptions extends ClientOptions {
  /** Base URL of the Hub or a mirror. */
  readonly endpoint?: string | undefined;
  /** Given for the endpoint's origin, in place of what `secrets` has for it. */
  readonly token?: string | undefined;
}

/** What a search result needs; the Hub sends no other field then. */
const EXPANDED = ['downloads', 'likes', 'gated', 'private', 'config', 'safetensors', 'tags'];

const IF_HUGGING_FACE_IS_UNREACHABLE =
  'check the connection, and whether a firewall, proxy or blocker stops huggingface.co or hf.co';

export class HubClient {
  /** @internal What sources of this client read through. */
  readonly connection: Client;
  private readonly options: HubClientOptions;

  /** @throws `bad-config` for an endpoint or a token that can't be one */
  constructor(options: HubClientOptions = {}) {
    const endpoint = checkHubEndpoint(options.endpoint ?? HUGGING_FACE);
    const { token, ...rest } = options;
    const secrets = options.secrets ?? new Secrets();
    if (token !== undefined) secrets.set(endpoint, token);
    this.options = { ...rest, endpoint, secrets };
    this.connection = new Client(endpoint, this.options);
  }

  get endpoint(): string {
    return this.connection.endpoint;
  }

  /** Whether a token was given for its origin. */
  get hasToken(): boolean {
    return this.connection.subject('').hasSecret;
  }

  /** The same Hub, whose pauses `onPause` hears of. */
  with(changes: { readonly onPause: PauseListener }): HubClient {
    return new HubClient({ ...this.options, ...changes });
  }

  /**
   * A model's files at the commit that `revision` (branch, tag or commit) stands for now.
   * @throws `not-found`, `no-access`, `network`, `bad-file` (no Hub answers so), `bad-config` (no such name can be)
   */
  async model(repo: string, revision = 'main', signal?: AbortSignal): Promise<HubRepo> {
    const path = `/api/models/${checkRepoId(repo)}/revision/${encodeURIComponent(checkRevision(revision))}?blobs=true`;
    const subject = this.subject(`the files of ${repo}`, { repo, revision });
    return readRepo(await this.connection.json(path, subject, {}, signal), revision, subject);
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
    return readSearch(await this.connection.json(`/api/models?${parameters}`, subject, {}, signal), subject);
  }

  /**
   * Asks it for as little as can be, to learn whether this page may.
   * @throws `bad-config` where the page's policy refuses; nothing where the Hub can't be reached or answers otherwise
   */
  async checkAllowed(signal?: AbortSignal): Promise<void> {
    const request = this.connection.request(this.subject('the list of models'), signal);
    try {
      await request.send('/api/models?limit=1');
    } catch (error) {
      if (errorCode(error) === 'bad-config') throw error;
    } finally {
      request.close();
    }
  }

  /** @internal What a request is for, as messages name it. */
  subject(what: string, about: HubSubject & { readonly wantsPage?: boolean } = {}): Subject {
    const { wantsPage, ...named } = about;
    const subject = this.connection.subject(what);
    return {
      ...subject,
      ...(wantsPage !== undefined && { wantsPage }),
      ...(this.endpoint === HUGGING_FACE && { ifUnreachable: IF_HUGGING_FACE_IS_UNREACHABLE }),
      explain: (response, reason) => explainRefusal(response, reason, { ...subject, ...named }),
    };
  }
}
