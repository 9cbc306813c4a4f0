/** The Hub: where it is, who asks, and what was found there. */
import { proxy } from 'comlink';
import type { RunConfig } from '../../core/config';
import type { PlainError } from '../../core/events';
import type { FoundModel, HubRef, HubSettings, ModelSurvey } from '../../protocol';
import { isCancelled, toPlainError } from '../client/errors';
import type { WorkerClient } from '../client/worker-client';
import { bindOldToken, loadSecrets, originOf, saveSecrets, type OriginSecret } from './kept-secrets';
import { isText, loadSetting, saveSetting } from './persisted';

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
  searching = $state(false);
  error = $state.raw<PlainError>();
  /** What each model would take, by name, as answers come. */
  surveys = $state.raw<Readonly<Record<string, ModelSurvey>>>({});

  /** Why the settings are refused. */
  settingsError = $state.raw<PlainError>();
  /** What the visitor should know of a token, in words. */
  notice = $state.raw<string>();

  private choice = $state.raw<Choice>({ endpoint: null, tokens: [] });
  private controller: AbortController | undefined;
  private surveying: AbortController | undefined;

  constructor(
    private readonly client: WorkerClient,
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
    client.onStart((worker) => void this.applyChoice(this.choice, false, (settings) => worker.setHub(settings)));
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
    const timer = setTimeout(() => void this.requestSurveys(models, config, controller.signal), SETTLE);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }

  private async requestSurveys(models: readonly FoundModel[], config: RunConfig, signal: AbortSignal): Promise<void> {
    const names = models.filter(({ supported }) => supported).map(({ name }) => name);
    const showSurvey = (survey: ModelSurvey) => {
      if (!signal.aborted) this.surveys = { ...this.surveys, [survey.name]: survey };
    };
    await this.client
      .job(signal, (worker, job) => worker.survey(job, names, config, proxy(showSurvey)))
      .catch(() => undefined); // the list stays without figures
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
    send = (settings: HubSettings) => this.client.call((worker) => worker.setHub(settings)),
  ): Promise<boolean> {
    const secrets = choice.tokens.map(({ origin, secret }) => ({ origin, secret }));
    const settings = { endpoint: choice.endpoint ?? this.pageHub, secrets, check };
    try {
      await send(settings);
      this.choice = choice;
      this.settingsError = undefined;
      return true;
    } catch (error) {
      this.settingsError = toPlainError(error);
      return false;
    }
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
