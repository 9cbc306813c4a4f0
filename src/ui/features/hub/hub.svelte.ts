/** The Hub: where it is, who asks, and what was found there. */
import type { RunConfig } from '../../../core/config';
import { plainError, type PlainError } from '../../../core/errors';
import type { FoundModel, HubRef, HubService, HubSettings, ModelSurvey } from '../../../protocol/hub';
import { Job } from '../../client/job.svelte';
import type { Workers } from '../../client/workers';
import { isText, loadSetting, saveSetting } from '../../persisted';
import { bindOldToken, loadSecrets, originOf, saveSecrets, type OriginSecret } from './kept-secrets';

const ENDPOINT = 'hub-endpoint';
const HUGGING_FACE = 'https://huggingface.co';

/** A token that the visitor gave, for one Hub. */
interface HubToken extends OriginSecret {
  /** In this browser, until it is forgotten; otherwise it lasts as long as the page is open. */
  readonly kept: boolean;
}

/** What the worker has been told, or shall be. */
interface Choice {
  /** The visitor's own; null for the page's. */
  readonly endpoint: string | null;
  readonly tokens: readonly HubToken[];
}

/** Milliseconds without a change of the settings before models are planned anew. */
const SETTLE = 300;

export class HubState {
  /** What the curated list or the last search has. */
  models = $state.raw<readonly FoundModel[]>([]);
  /** The query that `models` answers; empty for the curated list. */
  answered = $state('');
  /** What each model would take, by name, as answers come. */
  surveys = $state.raw<Readonly<Record<string, ModelSurvey>>>({});

  /** Why the settings are refused. */
  settingsError = $state.raw<PlainError>();
  /** What the visitor should know of a token, in words. */
  notice = $state.raw<string>();

  private choice = $state.raw<Choice>({ endpoint: null, tokens: [] });
  private readonly searchJob: Job<'hub.find'>;
  private readonly surveyJob: Job<'hub.survey'>;

  constructor(
    private readonly workers: Workers,
    /** The Hub that the page was built or served with. */
    private readonly pageHub = readPageHub(),
  ) {
    const endpoint = loadSetting(ENDPOINT, '', isText) || null;
    const { dropped } = bindOldToken(endpoint);
    if (dropped) {
      this.notice =
        'An earlier version of this page kept a token without the Hub that it was for. It was deleted, lest another Hub ' +
        'gets it: give it again where it is needed.';
    }
    this.choice = { endpoint, tokens: loadSecrets().map((secret) => ({ ...secret, kept: true })) };
    this.searchJob = new Job(workers, 'hub.find');
    this.surveyJob = new Job(workers, 'hub.survey', (event) => {
      if (event.kind !== 'survey') return;
      this.surveys = { ...this.surveys, [event.survey.name]: event.survey };
    });
    const tell = (hub: HubService) => {
      void this.applyChoice(this.choice, false, async (settings) => void (await hub.use(settings)));
    };
    workers.gpu.onStart((worker) => tell(worker.hub));
    workers.text.client.onStart((worker) => tell(worker.hub));
  }

  get searching(): boolean {
    return this.searchJob.isRunning;
  }

  get error(): PlainError | undefined {
    return this.searchJob.error;
  }

  /** The mirror that was chosen; empty for the page's own choice. */
  get endpoint(): string {
    return this.choice.endpoint ?? '';
  }

  /** Base URL of the Hub that is asked. */
  get address(): string {
    return (this.choice.endpoint ?? this.pageHub).replace(/\/+$/, '');
  }

  get host(): string {
    return originOf(this.address).replace(/^https?:\/\//, '');
  }

  /** What `HubRef.endpoint` is for models of the Hub that is asked. */
  get refEndpoint(): string | undefined {
    return this.address === HUGGING_FACE ? undefined : this.address;
  }

  /** The token for the Hub that is asked. */
  get token(): { readonly kept: boolean } | undefined {
    return this.choice.tokens.find(({ origin }) => origin === originOf(this.address));
  }

  /** Hosts of other Hubs that a token is held for. It goes to none but its own. */
  get otherTokens(): { readonly origin: string; readonly kept: boolean }[] {
    const others = this.choice.tokens.filter(({ origin }) => origin !== originOf(this.address));
    return others.map(({ origin, kept }) => ({ origin, kept }));
  }

  /** Asks another Hub from now on; where that is refused, the one before stays. */
  async useEndpoint(endpoint: string): Promise<boolean> {
    const chosen = endpoint.trim().replace(/\/+$/, '') || null;
    if (chosen === this.choice.endpoint) {
      this.settingsError = undefined;
      return true;
    }
    const accepted = await this.applyChoice({ ...this.choice, endpoint: chosen }, chosen !== null);
    if (accepted) saveSetting(ENDPOINT, chosen);
    return accepted;
  }

  /** Gives the Hub that is asked a token, for this Hub alone. */
  async useToken(token: string, keep: boolean): Promise<boolean> {
    const [origin, secret] = [originOf(this.address), token.trim()];
    const others = this.choice.tokens.filter((other) => other.origin !== origin);
    const given = secret === '' ? [] : [{ origin, secret, kept: keep }];
    if (!(await this.applyChoice({ ...this.choice, tokens: [...others, ...given] }, false))) return false;
    this.notice = undefined;
    this.saveKeptTokens();
    return true;
  }

  /** Forgets the token for a Hub, here and wherever it is kept. */
  async forgetToken(origin = originOf(this.address)): Promise<void> {
    const tokens = this.choice.tokens.filter((token) => token.origin !== origin);
    this.choice = { ...this.choice, tokens };
    this.saveKeptTokens();
    await this.applyChoice(this.choice, false);
  }

  /** The curated list; asks nobody. */
  async restore(): Promise<void> {
    const found = await this.searchJob.run({ query: '' });
    if (found) this.show('', found.models);
  }

  /** Searches by name; the whole name of a model is given back, to be opened. */
  async find(query: string): Promise<HubRef | undefined> {
    this.surveyJob.clear();
    const found = await this.searchJob.run({ query });
    if (found?.named) return found.named;
    if (found) this.show(query.trim(), found.models);
    return undefined;
  }

  /** Finds out what each of these models takes; those that Graft doesn't train aren't asked for. */
  survey(models: readonly FoundModel[], config: RunConfig): () => void {
    const names = models.filter(({ supported }) => supported).map(({ name }) => name);
    // Where it fails the list stays without figures.
    const timer = setTimeout(() => void this.surveyJob.run({ names, config }), SETTLE);
    return () => {
      clearTimeout(timer);
      this.surveyJob.clear();
    };
  }

  private show(query: string, models: readonly FoundModel[]): void {
    this.answered = query;
    this.models = models;
    this.surveys = {};
  }

  /** @param check ask the Hub now whether the page may ask it */
  private async applyChoice(
    choice: Choice,
    check: boolean,
    send = (settings: HubSettings) => this.tellWorkers(settings),
  ): Promise<boolean> {
    const secrets = choice.tokens.map(({ origin, secret }) => ({ origin, secret }));
    const settings = { endpoint: choice.endpoint ?? this.pageHub, secrets, check };
    try {
      await send(settings);
      this.choice = choice;
      this.settingsError = undefined;
      return true;
    } catch (error) {
      this.settingsError = plainError(error);
      return false;
    }
  }

  /** Each worker has its own connection; the text worker asks whether the Hub may be asked. */
  private async tellWorkers(settings: HubSettings): Promise<void> {
    await this.workers.text.client.call((worker) => worker.hub.use(settings));
    await this.workers.gpu.call((worker) => worker.hub.use({ ...settings, check: false }));
  }

  private saveKeptTokens(): void {
    const kept = this.choice.tokens.filter((token) => token.kept);
    saveSecrets(kept.map(({ origin, secret }) => ({ origin, secret })));
  }
}

/** Written into the page when it is built or served (vite.config.ts). */
function readPageHub(): string {
  return document.querySelector<HTMLMetaElement>('meta[name=graft-hub]')?.content || HUGGING_FACE;
}
