/** The Hub as the page uses it: settings that can change, searches, and what models would take. */
import { checkSecret } from '../../src/connections/endpoint';
import { describePause, JobPauses } from '../../src/connections/pauses';
import { Secrets } from '../../src/connections/secrets';
import { errorCode, plainError } from '../../src/core/errors';
import { encodeUtf8 } from '../../src/core/store';
import { FAMILIES } from '../../src/formats/families';
import { memorySource } from '../../src/formats/sources';
import { CATALOG, type CatalogEntry } from '../../src/hub/catalog';
import { HUGGING_FACE, HubClient } from '../../src/hub/client';
import type { HubRepo, HubSummary } from '../../src/hub/listing';
import { parseModelName } from '../../src/hub/names';
import { hubSource } from '../../src/hub/source';
import { openShape, planRun, talkSize, type ShapedModel } from '../../src/recipes';
import type { FoundModel, HubFindings, HubJobs, HubRef, HubSettings, ModelSurvey } from '../../src/protocol/hub';
import type { CommonEvent, RequestOf } from '../../src/protocol/jobs';
import type { JobContext } from '../jobs/job-host';

/** Models that are surveyed at once: a browser opens six connections to a host. */
const AT_ONCE = 4;
/** A Hub that is slower than this may be asked: a policy refuses at once. */
const CHECK_MS = 5000;

type SurveyedRun = Omit<RequestOf<HubJobs, 'hub.survey'>, 'names'>;

export class HubDesk {
  /** A job listens with its signal, and hears of the pauses of what it asks. */
  readonly pauses = new JobPauses();
  private readonly secrets = new Secrets();
  private readonly clients = new Map<string, HubClient>();
  /** The Hub that is asked where none is named, or why there is none. */
  private chosen: HubClient | { readonly refusal: unknown } | undefined;

  /** Shapes that were read, by name. */
  private readonly shapes = new Map<string, Promise<ShapedModel>>();

  /** Lets a job report the pauses of what it asks. */
  reportPauses({ signal, report }: JobContext<CommonEvent>): void {
    this.pauses.listen(signal, (pause) => report({ kind: 'pause', reason: describePause(pause) }));
  }

  /**
   * Gives the Hub's base URL. Nothing is waited for, so that what is asked for last is what holds.
   * @throws `bad-config`; another Hub that was in use then stays so
   */
  use({ endpoint, secrets }: HubSettings): string {
    try {
      for (const { secret } of secrets) checkSecret(secret); // before those in use are replaced
      const client = this.clientOf(endpoint ?? HUGGING_FACE);
      this.secrets.clear();
      for (const { origin, secret } of secrets) this.secrets.set(origin, secret);
      this.shapes.clear();
      this.chosen = client;
      return client.endpoint;
    } catch (refusal) {
      // Not the Hub that was asked for, then: and no other in its place.
      this.chosen ??= { refusal };
      throw refusal;
    }
  }

  /** The base URL of a Hub that could be used; `ask` has it asked, as the page's policy shows itself only then. @throws `bad-config` */
  async checkEndpoint(endpoint: string, ask: boolean): Promise<string> {
    const client = this.clientOf(endpoint);
    if (ask) await client.checkAllowed(AbortSignal.timeout(CHECK_MS));
    return client.endpoint;
  }

  /** Asks the Hub at `endpoint`, or the one in use. @throws `bad-config` */
  client(endpoint?: string): HubClient {
    if (endpoint !== undefined) return this.clientOf(endpoint);
    this.chosen ??= this.clientOf(HUGGING_FACE);
    if (this.chosen instanceof HubClient) return this.chosen;
    throw this.chosen.refusal;
  }

  async find(query: string, signal: AbortSignal): Promise<HubFindings> {
    const text = query.trim();
    if (text === '') return { named: null, models: CATALOG.map(curatedModel) };
    const client = this.client();
    const named = parseModelName(withoutAddress(text, client.endpoint));
    if (named) return { named: hubRef(named.repo, named.revision), models: [] };
    const found = await client.search(text, undefined, signal);
    return { named: null, models: found.map(foundModel) };
  }

  /** Each model's answer as it comes; a failure is one, too. */
  async survey(
    names: readonly string[],
    run: SurveyedRun,
    onSurvey: (survey: ModelSurvey) => void,
    signal: AbortSignal,
  ) {
    const waiting = [...names];
    const work = async () => {
      for (let name = waiting.shift(); name !== undefined && !signal.aborted; name = waiting.shift()) {
        const survey = await this.surveyOne(name, run, signal);
        if (!signal.aborted) onSurvey(survey);
        await new Promise((next) => setTimeout(next)); // planning takes a moment: other questions come between
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  }

  private async surveyOne(name: string, { config, talk }: SurveyedRun, signal: AbortSignal): Promise<ModelSurvey> {
    try {
      const shape = await this.shape(name, signal);
      const decode = talk ? talkSize(config, shape.spec) : undefined;
      const { memory } = planRun(config, shape, undefined, { decode });
      return { name, totalBytes: memory.totalBytes };
    } catch (error) {
      if (errorCode(error) === undefined) throw error;
      return { name, error: plainError(error) };
    }
  }

  private shape(name: string, signal: AbortSignal): Promise<ShapedModel> {
    const known = this.shapes.get(name);
    if (known) return known;
    const curated = CATALOG.find(({ id }) => id === name);
    const read = curated
      ? openShape(memorySource(name, { 'config.json': encodeUtf8(JSON.stringify(curated.config)) }))
      : this.readShape(name, signal);
    this.shapes.set(name, read);
    read.catch(() => this.shapes.delete(name));
    return read;
  }

  private async readShape(name: string, signal: AbortSignal): Promise<ShapedModel> {
    const client = this.client();
    return openShape(hubSource(client, await client.model(name, 'main', signal)));
  }

  private clientOf(endpoint: string): HubClient {
    const known = this.clients.get(endpoint);
    if (known) return known;
    const client = new HubClient({ endpoint, secrets: this.secrets, pauses: this.pauses });
    this.clients.set(endpoint, client);
    return client;
  }
}

export function hubRef(name: string, revision = 'main'): HubRef {
  return { kind: 'hub', name, revision, commit: null };
}

function curatedModel({ id, parameters, downloadBytes, licence, gated, about }: CatalogEntry): FoundModel {
  return {
    ...{ name: id, parameters, downloadBytes, licence, note: about },
    ...{ downloads: null, family: null, supported: true },
    restricted: gated === false ? null : 'gated',
  };
}

/** A model that was found, as the page lists it. */
function foundModel(model: HubSummary | HubRepo): FoundModel {
  const { id, parameters, downloads, licence, modelType } = model;
  return {
    name: id,
    parameters: parameters ?? null,
    downloadBytes: null,
    downloads,
    licence: licence ?? null,
    restricted: model.private ? 'private' : model.gated !== false ? 'gated' : null,
    family: modelType ?? null,
    supported: modelType === undefined || FAMILIES.some((family) => family.modelType === modelType),
    note: null,
  };
}

/** `https://huggingface.co/org/name/tree/main`, copied from a browser, as `org/name@main`. */
function withoutAddress(text: string, endpoint: string): string {
  const url = text.startsWith(`${endpoint}/`) ? text.slice(endpoint.length + 1) : text;
  return url
    .replace(/[?#].*$/, '')
    .replace(/^([^/]+\/[^/]+)\/tree\/(.+?)\/?$/, '$1@$2')
    .replace(/\/$/, '');
}
