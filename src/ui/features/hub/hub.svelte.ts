/** The Hub: where it is, who asks, and what was found there. */
import type { RunConfig } from '../../../core/config';
import { plainError, type PlainError } from '../../../core/errors';
import type { FoundModel, HubRef, HubService, HubSettings, ModelSurvey } from '../../../protocol/hub';
import { Job } from '../../client/job.svelte';
import type { Workers } from '../../client/workers';
import { isText, loadSetting, saveSetting } from '../../persisted';
import {
  bindOldToken,
  forgetSecret,
  keepSecret,
  loadSecrets,
  onSecretsChanged,
  originOf,
  type OriginSecret,
} from './kept-secrets';

const ENDPOINT = 'hub-endpoint';
const HUGGING_FACE = 'https://huggingface.co';

/** Milliseconds without a change of the settings before models are planned anew. */
const SETTLE = 300;

export class HubState {
  /** What the curated list or the last search has. */
  models = $state.raw<readonly FoundModel[]>([]);
  /** The query that `models` answers; empty for the curated list. */
  answered = $state('');
  /** What each model would take, by name, as answers come. */
  surveys = $state.raw<Readonly<Record<string, ModelSurvey>>>({});

  /** Why the token that was given last is not used. */
  tokenError = $state.raw<PlainError>();
  /** Why the settings are refused. */
  settingsError = $state.raw<PlainError>();
  /** What the visitor should know of a token, in words. */
  notice = $state.raw<string>();

  /** A Hub that was chosen and is still being asked whether it may be; a token waits until that is settled. */
  choosing = $state.raw<string>();

  /** The visitor's own Hub; null for the page's. */
  private chosen = $state.raw<string | null>(null);
  /** Tokens that last as long as the page is open. */
  private held = $state.raw<readonly OriginSecret[]>([]);
  /** Tokens in this browser's storage, as it was last read. Other tabs change it, and it alone says what is kept. */
  private kept = $state.raw<readonly OriginSecret[]>([]);
  /** Counts the Hubs that were chosen: the answer about an earlier one changes nothing. */
  private choices = 0;
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
    this.chosen = endpoint;
    this.kept = loadSecrets();
    this.searchJob = new Job(workers, 'hub.find');
    this.surveyJob = new Job(workers, 'hub.survey', (event) => {
      if (event.kind !== 'survey') return;
      this.surveys = { ...this.surveys, [event.survey.name]: event.survey };
    });
    const tell = (hub: HubService) => void this.report(() => hub.use(this.settings));
    workers.gpu.onStart((worker) => tell(worker.hub));
    workers.text.onStart((worker) => tell(worker.hub));
    onSecretsChanged(() => {
      this.kept = loadSecrets();
      void this.tellWorkers();
    });
  }

  get searching(): boolean {
    return this.searchJob.isRunning;
  }

  get error(): PlainError | undefined {
    return this.searchJob.error;
  }

  /** The mirror that was chosen; empty for the page's own choice. */
  get endpoint(): string {
    return this.chosen ?? '';
  }

  /** Base URL of the Hub that is asked. */
  get address(): string {
    return (this.chosen ?? this.pageHub).replace(/\/+$/, '');
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
    const token = this.tokens.find(({ origin }) => origin === originOf(this.address));
    return token && { kept: token.kept };
  }

  /** Hosts of other Hubs that a token is held for. It goes to none but its own. */
  get otherTokens(): { readonly origin: string; readonly kept: boolean }[] {
    const others = this.tokens.filter(({ origin }) => origin !== originOf(this.address));
    return others.map(({ origin, kept }) => ({ origin, kept }));
  }

  /**
   * Asks another Hub from now on; where that is refused, the one before stays. False also where another was chosen before
   * this one had answered: the last choice holds.
   */
  async useEndpoint(endpoint: string): Promise<boolean> {
    const typed = endpoint.trim().replace(/\/+$/, '');
    const choice = ++this.choices;
    this.settingsError = undefined;
    this.choosing = undefined;
    if (typed === this.endpoint) return true;
    const [asked, isOwn] = [typed || this.pageHub, typed !== ''];
    this.choosing = asked;
    try {
      const checked = await this.workers.text.call((worker) => worker.hub.checkEndpoint(asked, isOwn));
      if (choice !== this.choices) return false;
      this.chosen = isOwn ? checked : null;
    } catch (error) {
      if (choice === this.choices) this.settingsError = plainError(error);
      return false;
    } finally {
      if (choice === this.choices) this.choosing = undefined;
    }
    saveSetting(ENDPOINT, this.chosen);
    return this.tellWorkers();
  }

  /** Gives the Hub that is asked a token, for this Hub alone. Where it is refused, `tokenError` says why. */
  async useToken(token: string, keep: boolean): Promise<boolean> {
    const given = { origin: originOf(this.address), secret: token.trim() };
    if (given.secret === '' || this.choosing !== undefined) return false;
    this.tokenError = undefined;
    try {
      await this.workers.text.call((worker) => worker.hub.checkToken(given.secret));
    } catch (error) {
      this.tokenError = plainError(error);
      return false;
    }
    this.notice = undefined;
    const isKept = keep && keepSecret(given);
    this.kept = loadSecrets();
    this.held = [...this.held.filter(({ origin }) => origin !== given.origin), ...(isKept ? [] : [given])];
    return this.tellWorkers();
  }

  /** Forgets the token for a Hub, here and wherever it is kept. */
  async forgetToken(forgotten = originOf(this.address)): Promise<void> {
    forgetSecret(forgotten);
    this.kept = loadSecrets();
    this.held = this.held.filter(({ origin }) => origin !== forgotten);
    await this.tellWorkers();
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
  survey(models: readonly FoundModel[], config: RunConfig, talk: boolean): () => void {
    const names = models.filter(({ supported }) => supported).map(({ name }) => name);
    // Where it fails the list stays without figures.
    const timer = setTimeout(() => void this.surveyJob.run({ names, config, talk }), SETTLE);
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

  /** All tokens, one an origin: what was given to this page comes before what is kept. */
  private get tokens(): (OriginSecret & { readonly kept: boolean })[] {
    const held = this.held.map((token) => ({ ...token, kept: false }));
    const kept = this.kept.filter(({ origin }) => !this.held.some((token) => token.origin === origin));
    return [...held, ...kept.map((token) => ({ ...token, kept: true }))];
  }

  /** What a worker is told, as it is when the worker hears of it. */
  private get settings(): HubSettings {
    const secrets = this.tokens.map(({ origin, secret }) => ({ origin, secret }));
    return { endpoint: this.chosen ?? this.pageHub, secrets };
  }

  /** Each worker has its own connection. */
  private tellWorkers(): Promise<boolean> {
    return this.report(() =>
      Promise.all([
        this.workers.text.call((worker) => worker.hub.use(this.settings)),
        this.workers.gpu.call((worker) => worker.hub.use(this.settings)),
      ]),
    );
  }

  /** Whether the workers took it; where not, the page says why. */
  private async report(work: () => Promise<unknown>): Promise<boolean> {
    try {
      await work();
      this.settingsError = undefined;
      return true;
    } catch (error) {
      this.settingsError = plainError(error);
      return false;
    }
  }
}

/** Written into the page when it is built or served (vite.config.ts). */
function readPageHub(): string {
  return document.querySelector<HTMLMetaElement>('meta[name=graft-hub]')?.content || HUGGING_FACE;
}
