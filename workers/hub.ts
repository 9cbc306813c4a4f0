/** The Hub as the page uses it: settings that can change, searches, and what models would take. */
import type { RunConfig } from '../src/core/config';
import { errorCode, GraftError, plainError } from '../src/core/errors';
import { encodeUtf8 } from '../src/core/store';
import { FAMILIES } from '../src/formats/families';
import { memorySource } from '../src/formats/sources';
import { CATALOG, type CatalogEntry } from '../src/hub/catalog';
import { HUGGING_FACE, HubClient } from '../src/hub/client';
import type { HubRepo, HubSummary } from '../src/hub/listing';
import { parseModelName } from '../src/hub/names';
import { hubSource } from '../src/hub/source';
import { openShape, planRun, type ShapedModel } from '../src/recipes';
import type { FoundModel, HubFindings, HubRef, HubSettings, ModelSurvey } from '../src/protocol/hub';
import { readPolicy } from './policy';

/** Models that are surveyed at once: a browser opens six connections to a host. */
const AT_ONCE = 4;

export class HubDesk {
  private asked: Promise<HubClient> | undefined;
  /** Told, in a sentence, before each pause that comes before another attempt. */
  onPause: (reason: string) => void = () => undefined;

  /** Shapes that were read, by name. */
  private readonly shapes = new Map<string, Promise<ShapedModel>>();

  constructor(
    /** The page's own address: its answer carries the policy. */
    private readonly baseUrl: string,
  ) {}

  /** @throws `bad-config` */
  async use(settings: HubSettings): Promise<string> {
    this.shapes.clear();
    this.asked = this.open(settings);
    return (await this.asked).endpoint;
  }

  client(): Promise<HubClient> {
    return (this.asked ??= this.open({ endpoint: null, token: null }));
  }

  async find(query: string, signal: AbortSignal): Promise<HubFindings> {
    const text = query.trim();
    if (text === '') return { named: null, models: CATALOG.map(curatedModel) };
    const client = await this.client();
    const named = parseModelName(withoutAddress(text, client.endpoint));
    if (named) return { named: hubRef(named.repo, named.revision), models: [] };
    const found = await client.search(text, undefined, signal);
    return { named: null, models: found.map(foundModel) };
  }

  /** Each model's answer as it comes; a failure is one, too. */
  async survey(
    names: readonly string[],
    config: RunConfig,
    onSurvey: (survey: ModelSurvey) => void,
    signal: AbortSignal,
  ) {
    const waiting = [...names];
    const work = async () => {
      for (let name = waiting.shift(); name !== undefined && !signal.aborted; name = waiting.shift()) {
        const survey = await this.surveyOne(name, config, signal);
        if (!signal.aborted) onSurvey(survey);
        await new Promise((next) => setTimeout(next)); // planning takes a moment: other questions come between
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  }

  private async surveyOne(name: string, config: RunConfig, signal: AbortSignal): Promise<ModelSurvey> {
    try {
      const { memory } = planRun(config, await this.shape(name, signal));
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
    const client = await this.client();
    return openShape(hubSource(client, await client.model(name, 'main', signal)));
  }

  private async open({ endpoint, token }: HubSettings): Promise<HubClient> {
    const policy = await readPolicy(this.baseUrl);
    const client = new HubClient({
      endpoint: endpoint ?? policy.first ?? HUGGING_FACE,
      ...(token !== null && { token }),
      onPause: ({ reason, ms }) => this.onPause(`${reason} Trying again in ${Math.ceil(ms / 1000)} s.`),
    });
    if (policy.allows(client.endpoint)) return client;
    throw new GraftError(
      'bad-config',
      `This page's policy doesn't let it ask ${client.endpoint}: whoever serves the page allows a mirror by starting it ` +
        `with HF_ENDPOINT=${client.endpoint}.`,
    );
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
