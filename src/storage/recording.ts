/** Opening a model without a connection: what its opening read from a source is kept, and read again. */
import { errorCode, GraftError } from '../core/errors';
import { derivedSource, type FileSource } from '../core/store';
import type { ModelOpening, OpeningCache } from '../core/weight-cache';

type Read = ModelOpening['reads'][number];

/** Longer reads are of weights, which are kept in another way. Headers of weight files and tokenizers are below. */
const LARGEST_READ = 100 * 2 ** 20;

export interface Recording {
  /** The source, with what it answers written down until `stop`. */
  readonly source: FileSource;
  /**
   * What was asked and answered so far, and the SHA-256 of the files that were read: weights, which come later, are held
   * against them with or without a connection.
   */
  stop(): Promise<ModelOpening>;
}

/** Writes down what is asked of a source while a model opens, and what it answers. */
export function recordReads(source: FileSource): Recording {
  const sizes = new Map<string, number | undefined>();
  const reads = new Map<string, Read>();
  let files: string[] | undefined;
  let stopped = false;
  const recording = derivedSource(source, {
    list: async () => {
      const found = await source.list();
      if (!stopped) files = found;
      return found;
    },
    size: async (file) => {
      const size = await source.size(file);
      if (!stopped) sizes.set(file, size);
      return size;
    },
    read: async (file, start = 0, end?) => {
      const bytes = await source.read(file, start, end);
      if (stopped || bytes.byteLength > LARGEST_READ) return bytes;
      const key = `${file} ${start} ${end ?? ''}`;
      reads.set(key, { file, start, ...(end !== undefined && { end }), bytes: bytes.slice() });
      return bytes;
    },
    // What is read to find it isn't written down, only what was found: like a file of that name.
    remember: async (name, find) => {
      const bytes = await find(source);
      if (!stopped) reads.set(name, { file: name, start: 0, bytes: bytes.slice() });
      return bytes;
    },
  });
  return {
    source: recording,
    stop: async () => {
      stopped = true;
      const read = new Set([...reads.values()].map(({ file }) => file));
      const hashes = await Promise.all([...read].map(async (file) => ({ file, sha256: await source.sha256?.(file) })));
      return {
        ...(files && { files }),
        sizes: [...sizes].map(([file, size]) => ({ file, size })),
        hashes: hashes.filter(({ sha256 }) => sha256 !== undefined),
        reads: [...reads.values()],
      };
    },
  };
}

/** Answers from what was recorded, and asks `live` for the rest: the weights, where they are not all kept. */
export function replayedSource(opening: ModelOpening, live: FileSource): FileSource {
  const sizes = new Map(opening.sizes.map(({ file, size }) => [file, size]));
  const hashes = new Map(opening.hashes.map(({ file, sha256 }) => [file, sha256]));
  return derivedSource(live, {
    list: () => (opening.files ? Promise.resolve([...opening.files]) : live.list()),
    size: (file) => (sizes.has(file) ? Promise.resolve(sizes.get(file)) : live.size(file)),
    read: (file, start = 0, end?) => {
      const known = opening.reads.find((read) => read.file === file && holds(read, start, end));
      if (!known) return live.read(file, start, end);
      return Promise.resolve(
        known.bytes.subarray(start - known.start, end === undefined ? undefined : end - known.start),
      );
    },
    sha256: async (file) => hashes.get(file) ?? live.sha256?.(file),
    remember: (name, find) => {
      const known = opening.reads.find((read) => read.file === name && holds(read, 0, undefined));
      return known ? Promise.resolve(known.bytes) : (live.remember?.(name, find) ?? find(live));
    },
  });
}

function holds(read: Read, start: number, end: number | undefined): boolean {
  if (start < read.start) return false;
  if (read.end === undefined) return end === undefined || end <= read.start + read.bytes.byteLength;
  return end !== undefined && end <= read.end;
}

/** What opening says of files that are not what they were. */
const BROKEN: readonly (string | undefined)[] = ['bad-file', 'bad-config', 'unsupported'];

/**
 * Opens a model from what its opening read before, else from the source, and keeps what that read once it succeeded.
 * What was kept and doesn't open any more is forgotten.
 * A cache that can't be written is told to `onNotKept`; the model opens all the same.
 */
export async function openKept<Model>(
  cache: OpeningCache,
  identity: string,
  source: FileSource,
  open: (source: FileSource) => Promise<Model>,
  onNotKept: (message: string) => void = () => undefined,
): Promise<Model> {
  const kept = await cache.opening(identity).catch(() => undefined);
  if (kept) {
    try {
      return await open(replayedSource(kept, source));
    } catch (error) {
      // It opened once: what was kept of it is damaged.
      if (!BROKEN.includes(errorCode(error))) throw error;
      await cache.forgetOpening(identity);
    }
  }
  const recording = recordReads(source);
  const model = await open(recording.source);
  try {
    await cache.keepOpening(identity, await recording.stop());
  } catch (error) {
    if (!(error instanceof GraftError) || error.code !== 'storage') throw error;
    onNotKept(`${error.message} ${source.name} will need its connection to open again.`);
  }
  return model;
}

/**
 * The commit that a revision stands for: what `resolve` answers, which is kept, or what it last answered where
 * there is no connection.
 * @throws what `resolve` throws, where nothing is known or the failure is not one of the connection
 */
export async function resolveKept(
  cache: OpeningCache,
  repository: string,
  revision: string,
  resolve: () => Promise<string>,
): Promise<{
  readonly commit: string;
  /** When it was last asked for; absent where that is now. */ readonly seenAt?: number;
}> {
  try {
    const commit = await resolve();
    // Not keeping it costs opening without a connection, and nothing now.
    await cache.keepRevision(repository, revision, { commit, seenAt: Date.now() }).catch(() => undefined);
    return { commit };
  } catch (error) {
    const known = errorCode(error) === 'network' ? await cache.revision(repository, revision) : undefined;
    if (!known) throw error;
    return known;
  }
}
