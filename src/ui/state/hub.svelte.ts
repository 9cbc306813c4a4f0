/** The Hub: where it is, who asks, and what was found there. */
import { proxy } from 'comlink';
import type { RunConfig } from '../../core/config';
import type { PlainError } from '../../core/events';
import type { FoundModel, HubRef, HubSettings, ModelSurvey } from '../../protocol';
import { isCancelled, toPlainError } from '../client/errors';
import type { WorkerClient } from '../client/worker-client';
import { isText, loadSetting, removeSetting, saveSetting } from './persisted';

const ENDPOINT = 'hub-endpoint';
const TOKEN = 'hub-token';
/** Milliseconds without a change of the settings before models are planned anew. */
const SETTLE = 300;

export class HubState {
  /** What the curated list or the last search has. */
  models = $state.raw<readonly FoundModel[]>([]);
  /** The query that `models` answers; empty for the curated list. */
  answered = $state('');
  searching = $state(false);
  error = $state.raw<PlainError>();
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
  private controller: AbortController | undefined;
  private surveying: AbortController | undefined;

  constructor(private readonly client: WorkerClient) {
    const endpoint = loadSetting(ENDPOINT, '', isText) || null;
    const token = loadSetting(TOKEN, '', isText) || null;
    this.settings = { endpoint, token };
    this.hasToken = this.keepsToken = token !== null;
    client.onStart((worker) => {
      void worker
        .setHub(this.settings)
        .then(hostAnswer, errorAnswer)
        .then((answer) => this.tell(answer));
    });
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
    const { models } = await this.client.job(new AbortController().signal, (worker, job) => worker.findModels(job, ''));
    this.show('', models);
  }

  /** Searches by name; the whole name of a model is given back, to be opened. */
  async find(query: string): Promise<HubRef | undefined> {
    this.controller?.abort();
    this.surveying?.abort();
    const controller = new AbortController();
    this.controller = controller;
    this.error = undefined;
    this.searching = true;
    try {
      const { named, models } = await this.client.job(controller.signal, (worker, job) =>
        worker.findModels(job, query),
      );
      if (named) return named;
      this.show(query.trim(), models);
    } catch (error) {
      if (!isCancelled(error)) this.error = toPlainError(error);
    } finally {
      if (this.controller === controller) this.searching = false;
    }
    return undefined;
  }

  /** Finds out what each of these models takes; those that Graft doesn't train aren't asked for. */
  survey(models: readonly FoundModel[], config: RunConfig): () => void {
    const controller = new AbortController();
    this.surveying = controller;
    const timer = setTimeout(() => void this.ask(models, config, controller.signal), SETTLE);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }

  private async ask(models: readonly FoundModel[], config: RunConfig, signal: AbortSignal): Promise<void> {
    const names = models.filter(({ supported }) => supported).map(({ name }) => name);
    const take = (survey: ModelSurvey) => {
      if (!signal.aborted) this.surveys = { ...this.surveys, [survey.name]: survey };
    };
    await this.client
      .job(signal, (worker, job) => worker.survey(job, names, config, proxy(take)))
      .catch(() => undefined); // the list stays without figures
  }

  private show(query: string, models: readonly FoundModel[]): void {
    this.answered = query;
    this.models = models;
    this.surveys = {};
  }

  private async use(settings: HubSettings): Promise<boolean> {
    this.settings = settings;
    return this.tell(await this.client.call((worker) => worker.setHub(settings)).then(hostAnswer, errorAnswer));
  }

  private tell({ host, error }: { host?: string; error?: PlainError }): boolean {
    if (host !== undefined) this.host = host;
    this.settingsError = error;
    return error === undefined;
  }
}

const hostAnswer = (endpoint: string) => ({ host: new URL(endpoint).host });
const errorAnswer = (error: unknown) => ({ error: toPlainError(error) });
