/** The Hub: where it is, who asks, and what was found there. */
import type { RunConfig } from '../../core/config';
import { plainError, type PlainError } from '../../core/errors';
import type { FoundModel, HubRef, HubService, HubSettings, ModelSurvey } from '../../protocol/hub';
import { Job } from '../client/job.svelte';
import type { Workers } from '../client/workers';
import { isText, loadSetting, removeSetting, saveSetting } from '../persisted';

const ENDPOINT = 'hub-endpoint';
const TOKEN = 'hub-token';
/** Milliseconds without a change of the settings before models are planned anew. */
const SETTLE = 300;

export class HubState {
  /** What the curated list or the last search has. */
  models = $state.raw<readonly FoundModel[]>([]);
  /** The query that `models` answers; empty for the curated list. */
  answered = $state('');
  /** What each model would take, by name, as answers come. */
  surveys = $state.raw<Readonly<Record<string, ModelSurvey>>>({});

  /** The Hub that is asked, once the worker has said so. */
  host = $state('');
  /** Why the settings are refused. */
  settingsError = $state.raw<PlainError>();
  hasToken = $state(false);
  /** The token is kept in this browser, until it is forgotten; otherwise it lasts as long as the page is open. */
  keepsToken = $state(false);

  private settings: HubSettings;
  private readonly searchJob: Job<'hub.find'>;
  private readonly surveyJob: Job<'hub.survey'>;

  constructor(private readonly workers: Workers) {
    this.searchJob = new Job(workers, 'hub.find');
    this.surveyJob = new Job(workers, 'hub.survey', (event) => {
      if (event.kind !== 'survey') return;
      this.surveys = { ...this.surveys, [event.survey.name]: event.survey };
    });
    const endpoint = loadSetting(ENDPOINT, '', isText) || null;
    const token = loadSetting(TOKEN, '', isText) || null;
    this.settings = { endpoint, token };
    this.hasToken = this.keepsToken = token !== null;
    // Each worker has its own connection; one of them says whether the settings are taken.
    workers.gpu.onStart((worker) => void worker.hub.use(this.settings).catch(() => undefined));
    workers.text.client.onStart((worker) => void this.ask(worker.hub).then((answer) => this.noteAnswer(answer)));
  }

  get searching(): boolean {
    return this.searchJob.isRunning;
  }

  get error(): PlainError | undefined {
    return this.searchJob.error;
  }

  /** The mirror that was chosen; empty for the page's own choice. */
  get endpoint(): string {
    return this.settings.endpoint ?? '';
  }

  /** Asks another Hub from now on. A token is for the Hub that it was given for, and doesn't go to the next one. */
  async useEndpoint(endpoint: string): Promise<boolean> {
    const chosen = endpoint.trim() || null;
    if (chosen === this.settings.endpoint) return true;
    this.forgetToken();
    const accepted = await this.use({ endpoint: chosen, token: null });
    if (accepted) saveSetting(ENDPOINT, chosen);
    return accepted;
  }

  async useToken(token: string, keep: boolean): Promise<boolean> {
    const given = token.trim() || null;
    if (!(await this.use({ ...this.settings, token: given }))) return false;
    this.hasToken = given !== null;
    this.keepsToken = keep && this.hasToken;
    if (this.keepsToken) saveSetting(TOKEN, given);
    else removeSetting(TOKEN);
    return true;
  }

  forgetToken(): void {
    removeSetting(TOKEN);
    this.hasToken = this.keepsToken = false;
    void this.use({ ...this.settings, token: null });
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

  private async use(settings: HubSettings): Promise<boolean> {
    this.settings = settings;
    this.workers.gpu.call((worker) => worker.hub.use(settings)).catch(() => undefined);
    return this.noteAnswer(await this.workers.text.client.call((worker) => this.ask(worker.hub)).catch(errorAnswer));
  }

  private ask(hub: HubService): Promise<HubAnswer> {
    return hub.use(this.settings).then(hostAnswer, errorAnswer);
  }

  private noteAnswer({ host, error }: HubAnswer): boolean {
    if (host !== undefined) this.host = host;
    this.settingsError = error;
    return error === undefined;
  }
}

/** What a worker says of the settings. */
interface HubAnswer {
  host?: string;
  error?: PlainError;
}

const hostAnswer = (endpoint: string): HubAnswer => ({ host: new URL(endpoint).host });
const errorAnswer = (error: unknown): HubAnswer => ({ error: plainError(error) });
