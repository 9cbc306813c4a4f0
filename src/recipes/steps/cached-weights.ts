/** Loading a model's weights into a session: what is kept of them first, the rest from where they come from. */
import { elementCount, type FloatDType } from '../../core/dtypes';
import { errorCode, GraftError, throwIfCancelled, VerificationError } from '../../core/errors';
import { storedBytes } from '../../core/quantization';
import { parameters, type DecoderSpec } from '../../core/spec';
import type { CachedWeights, OpeningCache, WeightCache } from '../../core/weight-cache';
import type { FileProgress, KeepParameter, LoadStream, StoredSlice, WeightStream } from '../../core/weights';
import type { Quantization } from '../../engine';
import { digestLine, digestOf, type LoadingReport, type WeightSource } from './loading';

/** Where the weights of a model are kept. */
export interface ModelCache {
  readonly weights: WeightCache;
  /** What the model is: its repository and commit, or its folder's fingerprint. */
  readonly model: string;
  /** Where what opening it read is kept, under the same name: forgotten with the weights where they are damaged. */
  readonly openings?: Pick<OpeningCache, 'forgetOpening'> | undefined;
  /** Hears in a sentence where something could not be kept, or is damaged. Loading goes on. */
  readonly onNotKept?: (message: string) => void;
}

interface Loaded<Session> {
  readonly session: Session;
  /** SHA-256 over the names, types, shapes and bytes of all weights as the model's files have them. */
  readonly digest: string;
}

/** How leaves are stored, as a key of the cache: sessions of one key take each other's leaves. */
export function weightStorageKey(options: {
  readonly weightDType: FloatDType;
  readonly quantization?: Quantization | undefined;
}): string {
  const { weightDType, quantization = {} } = options;
  return `v1 ${weightDType} linears ${quantization.linears ?? weightDType} tables ${quantization.embeddings ?? weightDType}`;
}

export interface LoadInput {
  readonly model: WeightSource & { readonly name: string; readonly spec: DecoderSpec };
  readonly storage: string;
  readonly cache?: ModelCache | undefined;
}

/**
 * Opens a session with a model's weights, and keeps them where there is a cache.
 * @throws `bad-file` where a file is not what it should be, and nothing that came of it is kept; `cancelled`; what `open` throws
 */
export async function loadSession<Session extends { dispose(): void }>(
  input: LoadInput,
  open: (weights: LoadStream, keep?: KeepParameter) => Promise<Session>,
  report: LoadingReport,
  signal?: AbortSignal,
): Promise<Loaded<Session>> {
  const { model, storage, cache } = input;
  const kept = cache && (await openCacheEntry(cache, model.name, storage));
  const loading = new Loading(model, kept, cache, report, signal);
  let session: Session | undefined;
  try {
    session = await open(loading.stream(), kept?.writable ? loading.keep : undefined);
    await loading.finish();
    return { session, digest: await loading.digest() };
  } catch (error) {
    session?.dispose();
    if (cache && errorCode(error) === 'bad-file') await forget(cache, kept, error instanceof VerificationError);
    throw kept?.isDamaged && errorCode(error) === 'network' ? lostOffline(model.name, error as Error) : error;
  } finally {
    await kept?.close();
  }
}

/** What is kept of the model. A cache that can't be read is said, and costs what it holds. */
async function openCacheEntry(
  { weights, model, onNotKept }: ModelCache,
  name: string,
  storage: string,
): Promise<CachedWeights | undefined> {
  try {
    const kept = await weights.open({ model, storage });
    if (!kept.writable && !kept.complete) {
      onNotKept?.(
        `What is loaded of ${name} is not kept this time: it is being loaded elsewhere, or its cache can't be written to.`,
      );
    }
    return kept;
  } catch (error) {
    if (!(error instanceof GraftError) || error.code !== 'storage') throw error;
    onNotKept?.(`${error.message} ${name} is loaded without the cache, and not kept.`);
    return undefined;
  }
}

/** What was kept is damaged, and where it came from can't be asked. */
function lostOffline(name: string, cause: Error): GraftError {
  return new GraftError(
    'network',
    `What is kept of the weights of ${name} is damaged, and they can't be fetched again now: ${cause.message} Load the ` +
      'model again when there is a connection.',
    { cause },
  );
}

/**
 * Forgets a model that came as what it isn't: all of it where `proven`, and else what came this time, since the running
 * hash of its file has yet to tell of what came before.
 */
async function forget(cache: ModelCache, kept: CachedWeights | undefined, proven: boolean): Promise<void> {
  await unlessRefused(() => (proven ? kept?.discard() : kept?.revert()));
  await unlessRefused(() => cache.openings?.forgetOpening(cache.model));
}

/** A cache that refuses to forget doesn't hide what is wrong: the next load finds it again. */
async function unlessRefused(action: () => Promise<void> | undefined): Promise<void> {
  try {
    await action();
  } catch (error) {
    if (errorCode(error) !== 'storage') throw error;
  }
}

class Loading {
  /** Lines of the digest, by parameter, of what came from the model's files. */
  private readonly lines = new Map<string, string[]>();
  private readonly progress = new Map<string, FileProgress>();
  private readonly held = new Set<string>();
  private readonly elements: number;
  private loadedElements = 0;
  private keeping = true;

  constructor(
    private readonly model: LoadInput['model'],
    private readonly kept: CachedWeights | undefined,
    private readonly cache: ModelCache | undefined,
    private readonly report: LoadingReport,
    private readonly signal: AbortSignal | undefined,
  ) {
    this.elements = parameters(model.spec).reduce((sum, { shape }) => sum + elementCount(shape), 0);
  }

  async *stream(): LoadStream {
    const { model, kept, signal } = this;
    const wasComplete = kept?.complete ?? false;
    if (kept) {
      if (kept.isDamaged) this.noticeDamage('The index of what is kept');
      const wasDamaged = kept.isDamaged;
      for await (const slice of kept.read()) {
        throwIfCancelled(signal);
        yield slice;
        this.advance(elementsOf(slice));
      }
      for (const name of kept.names) this.held.add(name);
      if (kept.isDamaged && !wasDamaged) this.noticeDamage('A part of what is kept');
    }
    // Of what was kept and is damaged, the hashes of its slices are known.
    const missing = parameters(model.spec).filter(({ name }) => !this.held.has(name));
    const lost = missing.filter(({ name }) => kept && kept.origin(name).length > 0);
    if (lost.length > 0) {
      yield* this.fresh(model.weights({ names: new Set(lost.map(({ name }) => name)), signal }));
      for (const { name } of lost) this.checkOrigin(name);
    }
    if (!wasComplete) yield* this.fresh(model.weights({ from: kept?.files, signal }));
    throwIfCancelled(signal);
  }

  readonly keep: KeepParameter = async (name, leaves) => {
    if (!this.keeping) return;
    const parameter = { name, origin: this.lines.get(name) ?? [], leaves };
    await this.whileKeeping(() => this.kept!.put(parameter, this.progress.get(name)));
  };

  async finish(): Promise<void> {
    if (this.keeping) await this.whileKeeping(async () => this.kept?.finish());
  }

  digest(): Promise<string> {
    const names = parameters(this.model.spec).map(({ name }) => name);
    return digestOf(names.flatMap((name) => this.lines.get(name) ?? this.kept?.origin(name) ?? []));
  }

  private async *fresh(slices: WeightStream): LoadStream {
    for await (const slice of slices) {
      throwIfCancelled(this.signal);
      if (this.held.has(slice.name)) continue;
      const { name, bytes, dtype, progress } = slice;
      const before = (slice.firstRow ?? 0) > 0 ? (this.lines.get(name) ?? []) : [];
      this.lines.set(name, [...before, await digestLine(slice)]);
      if (progress) this.progress.set(name, progress);
      yield slice;
      this.advance(bytes.byteLength / storedBytes(dtype, [1]));
    }
  }

  private noticeDamage(what: string): void {
    this.cache?.onNotKept?.(
      `${what} of the weights of ${this.model.name} is damaged: it is forgotten, and loaded again from its source.`,
    );
  }

  /** Throws `bad-file` where a parameter is not what it was when its file was verified. */
  private checkOrigin(name: string): void {
    const before = this.kept!.origin(name);
    const now = this.lines.get(name) ?? [];
    this.held.add(name);
    if (before.join('') === now.join('')) return;
    throw new VerificationError(
      `${name} of ${this.model.name} is not what it was when the model was loaded before. Nothing of it was kept: ` +
        'load the model again.',
    );
  }

  /**
   * A cache that refuses is said once, and asked no more. What was kept since the load began is given up: half a model
   * would fill the room that the run's own files need.
   */
  private async whileKeeping(action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      if (!(error instanceof GraftError) || error.code !== 'storage') throw error;
      this.keeping = false;
      await this.kept!.revert().catch(() => undefined); // a disk that takes nothing may not take this either
      const kept = this.kept!.names.length;
      this.cache?.onNotKept?.(
        `${error.message} Everything goes on from memory: of ${this.model.name}, ${kept} of ` +
          `${parameters(this.model.spec).length} tensors are kept, and the others are loaded again next time.`,
      );
    }
  }

  private advance(elements: number): void {
    this.loadedElements += elements;
    const share = Math.min(1, this.loadedElements / this.elements);
    this.report(Math.round(share * this.model.weightBytes), this.model.weightBytes);
  }
}

/** How much of its leaf's elements a slice stands for. */
function elementsOf({ stored, shape, bytes }: StoredSlice): number {
  return (elementCount(shape) * bytes.byteLength) / storedBytes(stored, shape);
}
