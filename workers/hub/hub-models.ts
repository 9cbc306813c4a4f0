/** Models on the Hub as folders, each at one commit, and what this browser keeps of them. */
import type { PauseListener } from '../../src/connections/pauses';
import { GraftError } from '../../src/core/errors';
import type { FileSource } from '../../src/core/store';
import { openModel, type HubModel } from '../../src/formats/model';
import { HUGGING_FACE, modelIdentity, parseModelIdentity } from '../../src/hub/names';
import { hubSource } from '../../src/hub/source';
import type { ModelCache } from '../../src/recipes';
import { BrowserOpenings, browserWeightCache, SettingsStore, type Database } from '../../src/storage/indexeddb';
import { openKept, replayedSource, resolveKept } from '../../src/storage/recording';
import type { HubRef } from '../../src/protocol/hub';
import type { KeptWeights, ModelRef } from '../../src/protocol/models';
import type { HubDesk } from './hub';

export class HubModels {
  /** Told of a model that turned out damaged while it was loaded: what is open of it may be what is wrong. */
  onDamaged: () => void = () => undefined;
  private readonly openings: BrowserOpenings;
  private readonly weights: ReturnType<typeof browserWeightCache>;

  constructor(
    private readonly desk: HubDesk,
    private readonly database: Database,
  ) {
    this.openings = new BrowserOpenings(database);
    this.weights = browserWeightCache(database);
  }

  /** Deletes what tabs left that were closed while they kept something, and what nobody knows the Hub of. */
  async sweep(): Promise<void> {
    await this.weights.sweep();
    await this.dropUnplaced();
  }

  /** The model at the commit that its revision stands for now, or stood for when there last was a connection. */
  async resolve(ref: HubRef, signal?: AbortSignal): Promise<HubRef> {
    if (ref.commit !== null) return ref;
    const client = this.desk.client(ref.endpoint);
    const { endpoint } = client;
    let { name } = ref;
    const resolveRevision = async () => {
      const repo = await client.model(ref.name, ref.revision, signal);
      name = repo.id; // an old name leads to the new one
      return repo.commit;
    };
    const { commit } = await resolveKept(this.openings, `${endpoint} ${ref.name}`, ref.revision, resolveRevision);
    return { ...ref, name, commit, ...(endpoint !== HUGGING_FACE && { endpoint }) };
  }

  /**
   * Configuration, tokenizer and headers, from what was kept of an earlier opening if there was one.
   * @param job hears of the pauses; aborting it leaves the opening to others who may wait for it
   */
  open(ref: HubRef, onNotKept?: (message: string) => void, job?: AbortSignal): Promise<HubModel> {
    const live = this.live(ref, this.desk.pauses.of(job));
    return openKept(this.openings, cacheName(ref), live, openModel, onNotKept);
  }

  async source(ref: HubRef): Promise<FileSource> {
    const kept = await this.openings.opening(cacheName(ref));
    return kept ? replayedSource(kept, this.live(ref)) : this.live(ref);
  }

  /** Where the weights of a model are kept; undefined for models that are here as they are. */
  cache(ref: ModelRef, onNotKept?: (message: string) => void): ModelCache | undefined {
    if (ref.kind !== 'hub') return undefined;
    const forgetOpening = (model: string) => {
      this.onDamaged();
      return this.openings.forgetOpening(model);
    };
    return {
      weights: this.weights,
      model: cacheName(ref),
      openings: { forgetOpening },
      ...(onNotKept && { onNotKept }),
    };
  }

  async list(): Promise<KeptWeights[]> {
    const entries = await this.weights.list();
    return entries.flatMap(({ model, ...entry }) => {
      const ref = refOf(model);
      return ref ? { ...entry, model: ref } : [];
    });
  }

  pin(id: string, pinned: boolean): Promise<void> {
    return this.weights.pin(id, pinned);
  }

  async delete(id: string): Promise<void> {
    const before = await this.weights.list();
    const model = before.find((entry) => entry.id === id)?.model;
    await this.weights.delete(id);
    const isLast = !before.some((entry) => entry.model === model && entry.id !== id);
    if (model !== undefined && isLast) await this.openings.forgetOpening(model);
  }

  /**
   * The files on the Hub; it is asked for the first of them, and for nothing before. Streams are a job's, by their signal;
   * `onPause` hears of the pauses of other reads.
   */
  private live({ name, commit, revision, endpoint = HUGGING_FACE }: HubRef, onPause?: PauseListener): FileSource {
    let opened: Promise<FileSource> | undefined;
    const openSource = async (signal?: AbortSignal) => {
      const hub = this.desk.client(endpoint);
      const client = onPause ? hub.with({ onPause }) : hub;
      return hubSource(client, await client.model(name, commit ?? revision, signal));
    };
    const source = (signal?: AbortSignal) => {
      opened ??= openSource(signal);
      opened.catch(() => (opened = undefined));
      return opened;
    };
    return {
      name,
      ...(commit !== null && { commit }),
      list: async () => (await source()).list(),
      size: async (file) => (await source()).size(file),
      read: async (file, start, end) => (await source()).read(file, start, end),
      sha256: async (file) => (await source()).sha256?.(file),
      stream: async function* (file, start, signal) {
        yield* (await source(signal)).stream!(file, start, signal);
      },
    };
  }

  /**
   * Earlier pages kept every Hub's files as if they were huggingface.co's. What that Hub alone was asked for, by the
   * records of revisions, is its own and stays; the rest is deleted, once.
   */
  private async dropUnplaced(): Promise<void> {
    const settings = new SettingsStore(this.database);
    if ((await settings.get(PLACED_KEY)) === true) return;
    const askers = new Map<string, Set<string>>();
    for (const { repository, commit } of await this.openings.revisions()) {
      const [endpoint = ''] = repository.split(' ');
      askers.set(commit, (askers.get(commit) ?? new Set()).add(endpoint));
    }
    const isPlaced = (model: string) => {
      const { commit, endpoint } = parseModelIdentity(model) ?? {};
      if (commit === undefined || endpoint !== HUGGING_FACE) return true;
      const endpoints = askers.get(commit);
      return endpoints?.size === 1 && endpoints.has(HUGGING_FACE);
    };
    for (const model of await this.openings.models()) if (!isPlaced(model)) await this.openings.forgetOpening(model);
    const unplaced = (await this.weights.list()).filter(({ model }) => !isPlaced(model));
    const deleted = await Promise.allSettled(unplaced.map(({ id }) => this.weights.delete(id)));
    // What another tab is loading stays for now: the next visit looks again.
    if (deleted.every(({ status }) => status === 'fulfilled')) await settings.set(PLACED_KEY, true);
  }
}

const PLACED_KEY = 'kept-models-by-hub';

/** The model's identity: repository, commit and Hub. */
function cacheName({ name, commit, endpoint }: HubRef): string {
  if (commit === null) throw new GraftError('not-found', `${name} is at no commit yet: open it again.`);
  return modelIdentity(name, commit, endpoint);
}

function refOf(cacheName: string): HubRef | undefined {
  const { repo, commit, endpoint } = parseModelIdentity(cacheName) ?? {};
  if (repo === undefined || commit === undefined || endpoint === undefined) return undefined;
  const ref: HubRef = { kind: 'hub', name: repo, revision: commit, commit };
  return endpoint === HUGGING_FACE ? ref : { ...ref, endpoint };
}
