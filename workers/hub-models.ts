/** Models on the Hub as folders, each at one commit, and what this browser keeps of them. */
import { GraftError } from '../src/core/errors';
import type { FileSource } from '../src/core/store';
import { openModel, type HubModel } from '../src/formats/model';
import { hubSource } from '../src/hub/source';
import type { ModelCache } from '../src/recipes';
import { BrowserOpenings, browserWeightCache, type Database } from '../src/storage/indexeddb';
import { openKept, replayedSource, resolveKept } from '../src/storage/recording';
import type { HubRef } from '../src/protocol/hub';
import type { KeptWeights, ModelRef } from '../src/protocol/models';
import type { HubDesk } from './hub';

export class HubModels {
  /** Told of a model that turned out damaged while it was loaded: what is open of it may be what is wrong. */
  onDamaged: () => void = () => undefined;
  private readonly openings: BrowserOpenings;
  private readonly weights: ReturnType<typeof browserWeightCache>;

  constructor(
    private readonly desk: HubDesk,
    database: Database,
  ) {
    this.openings = new BrowserOpenings(database);
    this.weights = browserWeightCache(database);
  }

  /** Deletes what tabs left that were closed while they kept something. */
  sweep(): Promise<void> {
    return this.weights.sweep();
  }

  /** The model at the commit that its revision stands for now, or stood for when there last was a connection. */
  async resolve(ref: HubRef, signal?: AbortSignal): Promise<HubRef> {
    if (ref.commit !== null) return ref;
    const client = await this.desk.client();
    let { name } = ref;
    const ask = async () => {
      const repo = await client.model(ref.name, ref.revision, signal);
      name = repo.id; // an old name leads to the new one
      return repo.commit;
    };
    const { commit } = await resolveKept(this.openings, `${client.endpoint} ${ref.name}`, ref.revision, ask);
    return { ...ref, name, commit };
  }

  /** Configuration, tokenizer and headers, from what was kept of an earlier opening if there was one. */
  open(ref: HubRef, onNotKept?: (message: string) => void): Promise<HubModel> {
    return openKept(this.openings, cacheName(ref), this.live(ref), openModel, onNotKept);
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

  /** The files on the Hub; it is asked for the first of them, and for nothing before. */
  private live({ name, commit, revision }: HubRef): FileSource {
    let opened: Promise<FileSource> | undefined;
    const source = () => {
      opened ??= this.desk
        .client()
        .then(async (client) => hubSource(client, await client.model(name, commit ?? revision)));
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
        yield* (await source()).stream!(file, start, signal);
      },
    };
  }
}

/** `org/name@commit`. */
function cacheName({ name, commit }: HubRef): string {
  if (commit === null) throw new GraftError('not-found', `${name} is at no commit yet: open it again.`);
  return `${name}@${commit}`;
}

function refOf(cacheName: string): HubRef | undefined {
  const [, name, commit] = /^(.+)@([0-9a-f]{40})$/.exec(cacheName) ?? [];
  return name && commit ? { kind: 'hub', name, revision: commit, commit } : undefined;
}
